"""The registry as the server reads it: where versions lie, what their manifests say, and whether they fit this server.

A directory, or object storage by any URL that fsspec opens. A version is there when its manifest is: that is written
last. Knows files and the feature schema; knows nothing of graphs or requests.
"""

import hashlib
import json
import shutil
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import fsspec
from fsspec.implementations.local import LocalFileSystem

from services.errors import CrossRecError

MANIFEST, MODEL, METRICS = "manifest.json", "model.onnx", "metrics.json"
MANY = "many.onnx"
"""Lies beside a graph that has a form for several requests at once."""

MANIFEST_FIELDS = ("name", "version", "schema_fingerprint", "encoder_fingerprint", "tensors", "features")
FORMAT = 1
"""Of the manifests that this code reads."""


class ModelMismatch(CrossRecError):
    """The model was trained on other features, or another encoder, than this server has."""


class ModelUnavailable(CrossRecError):
    """The registry holds no such model, its files are broken, or the machine lacks what it needs."""


class RegistryUnavailable(CrossRecError):
    """The registry cannot be read now; trying again may help."""


@dataclass(frozen=True, order=True)
class Version:
    """A version of a model: <name>/<number>."""

    name: str
    number: int

    @classmethod
    def parse(cls, text: str, field: str = "version") -> Self:
        """NAME/VERSION; ModelUnavailable naming `field` for anything else."""
        name, _, number = text.rpartition("/")
        if not name or name.startswith(".") or "/" in name or not (number.isascii() and number.isdigit()):
            raise ModelUnavailable(f"{field}: {text!r} is not NAME/VERSION, like neural/3")
        return cls(name, int(number))

    def __str__(self) -> str:
        return f"{self.name}/{self.number}"


class Registry:
    """A model registry.

    Args:
        location: a directory, or a URL like s3://bucket/models.
        cache_dir: where files of a registry that is no directory are copied, so that ONNX Runtime can open them.
    """

    def __init__(self, location: str | Path, cache_dir: str | Path = "data/registry-cache") -> None:
        self.location = str(location).rstrip("/") or "/"
        try:
            self._files, root = fsspec.core.url_to_fs(self.location)
        except (ImportError, ValueError) as error:
            raise ModelUnavailable(f"registry_dir: cannot open {self.location}: {error}") from error
        self._root = str(root).rstrip("/")
        self._local = isinstance(self._files, LocalFileSystem)
        digest = hashlib.sha256(self.location.encode()).hexdigest()[:12]
        self._cache = Path(cache_dir) / digest

    def forget_listings(self) -> None:
        """See what others wrote: clients of object storage remember what they listed."""
        self._files.invalidate_cache()

    def names(self) -> list[str]:
        """Models with at least one version."""
        found = (entry["name"].rsplit("/", 1)[-1] for entry in self._list("") if entry["type"] == "directory")
        return sorted(name for name in found if not name.startswith(".") and self.newest(name))

    def versions(self, name: str) -> list[Version]:
        """The registered versions of a model, newest first; what is half-written is none."""
        return [version for version in self._numbered(name) if self.has(version)]

    def newest(self, name: str) -> Version | None:
        """The newest version of a model."""
        return next((version for version in self._numbered(name) if self.has(version)), None)

    def has(self, version: Version) -> bool:
        """Whether a version is complete."""
        return self.read(f"{version}/{MANIFEST}") is not None

    def stamp(self, version: Version) -> str:
        """Changes when the files of a version do; "" if there are none."""
        marks = ("size", "mtime", "created", "ETag", "etag", "md5Hash", "LastModified", "updated")
        files = sorted((e["name"], *(str(e.get(mark)) for mark in marks)) for e in self._list(str(version)))
        return hashlib.sha256(repr(files).encode()).hexdigest() if files else ""

    def sizes(self, version: Version) -> dict[str, int]:
        """Bytes of each file of a version, by name."""
        return {entry["name"].rsplit("/", 1)[-1]: entry["size"] for entry in self._list(str(version))}

    def manifest(self, version: Version, fields: Sequence[str] = MANIFEST_FIELDS) -> dict[str, Any]:
        """The manifest of a version, if it is one that this code understands and has the `fields`."""
        where, text = self.where(version), self.read(f"{version}/{MANIFEST}")
        if text is None:
            raise ModelUnavailable(f"model {where}: it has no {MANIFEST}")
        try:
            manifest = json.loads(text)
        except ValueError as error:
            raise ModelUnavailable(f"model {where}: {MANIFEST} is not JSON: {error}") from error
        written = manifest.get("format") if isinstance(manifest, dict) else None
        if written != FORMAT:
            raise ModelMismatch(f"model {where}: its manifest has format {written}, this server reads {FORMAT}")
        if missing := [field for field in fields if field not in manifest]:
            raise ModelMismatch(f"model {where}: its manifest lacks {', '.join(missing)}")
        result: dict[str, Any] = manifest
        return result

    def where(self, version: Version) -> str:
        """The location of a version, for people."""
        return f"{self.location}/{version}"

    def local(self, version: Version, manifest: Mapping[str, Any]) -> Path:
        """A directory on this machine with the files of a version, each with the size and SHA-256 of the manifest.

        Manifests that name no files (of before they did) promise model.onnx alone. Raises ModelUnavailable naming
        the file that is missing or another.
        """
        wanted = files_of(manifest)
        if self._local:
            return self._checked(Path(self._root) / str(version), wanted, version)
        digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:12]
        directory = self._cache / version.name / f"{version.number}-{digest}"
        try:
            return self._checked(directory, wanted, version)
        except ModelUnavailable:  # not copied yet, or gone bad
            shutil.rmtree(directory, ignore_errors=True)
            self._copy(version, wanted, directory)
            return directory

    def read(self, path: str) -> bytes | None:
        """The content of a file, None if it is not there; RegistryUnavailable if that cannot be told."""
        try:
            content: bytes = self._files.cat_file(f"{self._root}/{path}")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as error:
            raise RegistryUnavailable(f"registry {self.location}: cannot read {path}: {error}") from error
        return content

    def write(self, path: str, content: bytes) -> None:
        """Replace a file at once: who reads sees the old content or the new. Its directory exists."""
        target = f"{self._root}/{path}"
        try:
            if self._local:
                beside = Path(target).with_name(f".{uuid.uuid4().hex}")
                beside.write_bytes(content)
                beside.replace(target)
            else:  # object storage shows an object when all of it is there
                self._files.pipe_file(target, content)
        except OSError as error:
            raise RegistryUnavailable(f"registry {self.location}: cannot write {path}: {error}") from error

    def _checked(self, directory: Path, wanted: Mapping[str, Mapping[str, Any]], version: Version) -> Path:
        for name, expected in wanted.items():
            check_file(directory / name, expected, self.where(version))
        return directory

    def _copy(self, version: Version, wanted: Mapping[str, Mapping[str, Any]], directory: Path) -> None:
        directory.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=directory.parent))
        try:
            for name in wanted:
                content = self.read(f"{version}/{name}")
                if content is None:
                    raise ModelUnavailable(f"model {self.where(version)}: {name} is missing")
                (staging / name).write_bytes(content)
            self._checked(staging, wanted, version)
            if not directory.exists():  # another process may have been faster
                staging.rename(directory)
        except OSError as error:
            if not directory.exists():
                raise RegistryUnavailable(f"registry_cache_dir: cannot write {directory}: {error}") from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _numbered(self, name: str) -> list[Version]:
        entries = (entry["name"].rsplit("/", 1)[-1] for entry in self._list(name))
        numbers = {int(entry) for entry in entries if entry.isascii() and entry.isdigit()}
        return [Version(name, number) for number in sorted(numbers, reverse=True)]

    def _list(self, path: str) -> list[dict[str, Any]]:
        where = f"{self._root}/{path}".rstrip("/")
        try:
            entries: list[dict[str, Any]] = self._files.ls(where, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise RegistryUnavailable(f"registry {self.location}: cannot list {path or 'it'}: {error}") from error
        return [{**entry, "name": entry["name"].rstrip("/")} for entry in entries if entry["name"].rstrip("/") != where]


def files_of(manifest: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Name of each file beside the manifest that serving reads, with its `bytes` and `sha256`."""
    files = manifest.get("files", {MODEL: {}})
    if not isinstance(files, dict) or MODEL not in files or any(not _is_name(name) for name in files):
        raise ModelUnavailable(f"model {manifest['name']}/{manifest['version']}: files in its manifest: {files!r}")
    return files


def _is_name(name: str) -> bool:
    return Path(name).name == name


def check_file(path: Path, expected: Mapping[str, Any], model: str) -> None:
    """ModelUnavailable if a file is not the one that was registered."""
    if not path.is_file():
        raise ModelUnavailable(f"model {model}: {path.name} is missing")
    if "bytes" in expected and (size := path.stat().st_size) != expected["bytes"]:
        raise ModelUnavailable(f"model {model}: {path.name} has {size} bytes, registered were {expected['bytes']}")
    if "sha256" in expected and described_file(path)["sha256"] != expected["sha256"]:
        raise ModelUnavailable(f"model {model}: {path.name} has another SHA-256 than was registered")


def described_file(path: Path) -> dict[str, Any]:
    """What a manifest says of a file beside it."""
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def wanted_version(
    registry: Registry, name: str, number: str = "", setting: str = "ranking.model", command: str = "crossrec train"
) -> Version:
    """A version of a model, the newest for "".

    Raises ModelUnavailable naming the `setting` that asks for it and the `command` that makes it.
    """
    found = registry.newest(name) if not number else Version(name, int(number)) if number.isdigit() else None
    if found is None or not registry.has(found):
        raise ModelUnavailable(
            f"{setting}: no version {number or 'at all'} of {name} in {registry.location}; "
            f"models there: {', '.join(registry.names()) or 'none'}; `{command}` makes one"
        )
    return found
