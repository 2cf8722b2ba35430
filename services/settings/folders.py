"""Files and folders that exist already where the settings point: their kind, and the rights that are needed.

`crossrec setup` refuses what is wrong, `crossrec doctor` reports it; both by `judge_folders`. Creates nothing.
"""

import os
from pathlib import Path

from services.errors import ConfigurationError
from services.settings.load import Settings


def judge_folders(settings: Settings) -> list[str]:
    """What is wrong, each with the name of its setting."""
    store = settings.store
    folders = {"data_dir": settings.data_dir, "encoder_dir": settings.encoder_dir}
    if "://" not in settings.registry_dir:
        folders["registry_dir"] = Path(settings.registry_dir)
    found = [_judge_folder(name, path, os.R_OK | os.X_OK) for name, path in folders.items()]
    found += [
        _judge_folder("store.offline_dir", store.offline_dir, os.W_OK | os.X_OK),
        _judge_file("store.registry", store.registry),
    ]
    return [wrong for wrong in found if wrong]


def require_folders(settings: Settings) -> None:
    """Raise ConfigurationError that names every setting whose file or folder cannot be used."""
    if wrong := judge_folders(settings):
        raise ConfigurationError("; ".join(wrong))


def _judge_folder(name: str, path: Path, rights: int) -> str:
    """What is wrong with a folder that exists, or with the place where it will be made; empty: nothing."""
    there = path.absolute()
    while not os.path.lexists(there):
        there = there.parent
    if not there.is_dir():
        return f"{name}: {there} is not a directory" + (
            "" if there == path.absolute() else f", so {path} cannot be made"
        )
    if not os.access(there, rights):
        lacks = "written" if rights & os.W_OK else "read"
        return f"{name}: {there} cannot be {lacks} by this user"
    return ""


def _judge_file(name: str, path: Path) -> str:
    if path.exists() and not path.is_file():
        return f"{name}: {path} is not a file"
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        return f"{name}: {path} cannot be read and written by this user"
    return _judge_folder(name, path.parent, os.W_OK | os.X_OK)
