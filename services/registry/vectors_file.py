"""Learned item vectors as a file beside a model: it was trained on what they say. Knows the file's format."""

import io
import zipfile
from dataclasses import fields
from pathlib import Path

import numpy as np

from services.features.item_vectors import ItemVectors
from services.registry.reader import ModelMismatch, Registry

VECTORS = "vectors.npz"


def write_vectors(path: Path, vectors: ItemVectors) -> None:
    """Write vectors to a file."""
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **vectors.arrays())


def find_vectors(registry: Registry, version: str) -> tuple[ItemVectors, ...]:
    """The vectors of a version, NAME/VERSION; none if it has no such file."""
    content = registry.read(f"{version}/{VECTORS}")
    return () if content is None else (read_vectors(content),)


def read_vectors(content: bytes) -> ItemVectors:
    """Parse the content of a file of vectors; raises ModelMismatch if it is invalid."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return ItemVectors(**{field.name: arrays[field.name] for field in fields(ItemVectors)})
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise ModelMismatch(f"{VECTORS} cannot be read as item vectors: {error}") from error
