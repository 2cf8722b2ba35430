"""Reads the model registry: its versions, their manifests and their files.

A directory, or object storage at any URL that fsspec opens. A version exists when its manifest does, because the
manifest is written last. Knows files; knows nothing of graphs or requests.
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
BATCHED = "batched.onnx"
"""The graph for batches of requests, beside model.onnx, if the kind of model has one."""

MANIFEST_FIELDS = ("name", "version", "schema_fingerprint", "encoder_fingerprint", "tensors", "features", "files")
FORMAT = 1
"""Format of the manifests that this code reads."""


class ModelMismatch(CrossRecError):
    """The model was trained on other features, or another encoder, than this server has."""


class ModelUnavailable(CrossRecError):
    """The registry has no such model, its files are broken, or the machine lacks a requirement."""


class RegistryUnavailable(CrossRecError):
    """The registry cannot be read now; a retry may help."""


@dataclass(frozen=True, order=True)
class Version:
    """A version of a model: <name>/<number>."""

    name: str
    number: int

    @classmethod
    def parse(cls, text: str, field: str = "version") -> Self:
        """Parse NAME/VERSION; raises ModelUnavailable naming `field` for any other text."""
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
        cache_dir: local copies of the files of a registry in object storage, so that ONNX Runtime can open them.
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

    def invalidate_listings(self) -> None:
        """Drop cached listings, to see versions written by others: clients of object storage cache listings."""
        self._files.invalidate_cache()

    def check(self) -> None:
        """Raise RegistryUnavailable if there is no directory at the location, or nothing below the URL."""
        try:
            found = self._files.isdir(self._root)
        except Exception as error:  # whatever clients of object storage raise
            raise RegistryUnavailable(f"registry_dir: cannot read {self.location}: {error}") from error
        if not found:
            raise RegistryUnavailable(
                f"registry_dir: no registry at {self.location}; `crossrec train` makes one, or set registry_dir"
            )

    def names(self) -> list[str]:
        """Models with at least one version."""
        found = (entry["name"].rsplit("/", 1)[-1] for entry in self._list("") if entry["type"] == "directory")
        return sorted(name for name in found if not name.startswith(".") and self.newest(name))

    def versions(self, name: str) -> list[Version]:
        """The registered versions of a model, newest first; incomplete ones are left out."""
        return [version for version in self._list_versions(name) if self.has(version)]

    def newest(self, name: str) -> Version | None:
        """The newest version of a model."""
        return next((version for version in self._list_versions(name) if self.has(version)), None)

    def has(self, version: Version) -> bool:
        """Whether a version is complete."""
        return self.read(f"{version}/{MANIFEST}") is not None

    def stamp(self, version: Version) -> str:
        """A hash that changes when the files of a version do; "" if there are none."""
        marks = ("size", "mtime", "created", "ETag", "etag", "md5Hash", "LastModified", "updated")
        files = sorted((e["name"], *(str(e.get(mark)) for mark in marks)) for e in self._list(str(version)))
        return hashlib.sha256(repr(files).encode()).hexdigest() if files else ""

    def sizes(self, version: Version) -> dict[str, int]:
        """Bytes of each file of a version, by name."""
        return {entry["name"].rsplit("/", 1)[-1]: entry["size"] for entry in self._list(str(version))}

    def manifest(self, version: Version, fields: Sequence[str] = MANIFEST_FIELDS) -> dict[str, Any]:
        """The manifest of a version; raises ModelMismatch if its format is unknown or it lacks one of `fields`."""
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
        """The location of a version, for messages."""
        return f"{self.location}/{version}"

    def fetch(self, version: Version, manifest: Mapping[str, Any]) -> Path:
        """A local directory with the files of a version, verified against the size and SHA-256 in the manifest.

        Copies them from object storage if necessary. Raises ModelUnavailable naming a file that is missing or differs.
        """
        wanted = manifest_files(manifest)
        if self._local:
            return self._verify(Path(self._root) / str(version), wanted, version)
        digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:12]
        directory = self._cache / version.name / f"{version.number}-{digest}"
        try:
            return self._verify(directory, wanted, version)
        except ModelUnavailable:  # not copied yet, or damaged
            shutil.rmtree(directory, ignore_errors=True)
            self._copy(version, wanted, directory)
            return directory

    def read(self, path: str) -> bytes | None:
        """The content of a file, None if it does not exist; raises RegistryUnavailable if it cannot be read."""
        try:
            content: bytes = self._files.cat_file(f"{self._root}/{path}")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as error:
            raise RegistryUnavailable(f"registry {self.location}: cannot read {path}: {error}") from error
        return content

    def write(self, path: str, content: bytes) -> None:
        """Replace a file atomically: readers see the old content or the new. Its directory must exist."""
        target = f"{self._root}/{path}"
        try:
            if self._local:
                temporary = Path(target).with_name(f".{uuid.uuid4().hex}")
                temporary.write_bytes(content)
                temporary.replace(target)
            else:  # object storage publishes complete objects only
                self._files.pipe_file(target, content)
        except OSError as error:
            raise RegistryUnavailable(f"registry {self.location}: cannot write {path}: {error}") from error

    def _verify(self, directory: Path, wanted: Mapping[str, Mapping[str, Any]], version: Version) -> Path:
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
            self._verify(staging, wanted, version)
            if not directory.exists():  # another process may have copied it meanwhile
                staging.rename(directory)
        except OSError as error:
            if not directory.exists():
                raise RegistryUnavailable(f"registry_cache_dir: cannot write {directory}: {error}") from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _list_versions(self, name: str) -> list[Version]:
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


def manifest_files(manifest: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The files that serving reads, by name, with `bytes` and `sha256`; raises ModelUnavailable if they are invalid."""
    files = manifest["files"]
    if not isinstance(files, dict) or MODEL not in files or not all(map(_is_entry, files.items())):
        model = f"{manifest['name']}/{manifest['version']}"
        raise ModelUnavailable(f"model {model}: invalid files in its manifest: {files!r}")
    return files


def _is_entry(entry: tuple[str, Any]) -> bool:
    name, file = entry
    return Path(name).name == name and isinstance(file, dict) and {"bytes", "sha256"} <= file.keys()


def check_file(path: Path, expected: Mapping[str, Any], model: str) -> None:
    """Raise ModelUnavailable if a file differs from the registered one."""
    if not path.is_file():
        raise ModelUnavailable(f"model {model}: {path.name} is missing")
    if (size := path.stat().st_size) != expected["bytes"]:
        raise ModelUnavailable(f"model {model}: {path.name} has {size} bytes, registered with {expected['bytes']}")
    if describe_file(path)["sha256"] != expected["sha256"]:
        raise ModelUnavailable(f"model {model}: {path.name} has a SHA-256 that differs from the registered one")


def describe_file(path: Path) -> dict[str, Any]:
    """The manifest's entry of a file."""
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def find_version(
    registry: Registry, name: str, number: str = "", setting: str = "ranking.model", command: str = "crossrec train"
) -> Version:
    """Find a version of a model, the newest for "".

    Raises ModelUnavailable naming the `setting` that requires it and the `command` that creates one.
    """
    found = registry.newest(name) if not number else Version(name, int(number)) if number.isdigit() else None
    if found is None or not registry.has(found):
        raise ModelUnavailable(
            f"{setting}: no version{f' {number}' if number else ''} of {name} in {registry.location}; "
            f"models there: {', '.join(registry.names()) or 'none'}; `{command}` creates one"
        )
    return found
