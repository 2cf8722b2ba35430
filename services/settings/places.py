"""Where everything of a data set lies: below its own folder, unless a setting says otherwise.

    <data_dir>/<data set>/registry, encoder, offline, feast/registry.db

So two data sets in one place share nothing. Knows folders; knows nothing of what they hold.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from services.errors import ConfigurationError
from services.settings.names import nearest

if TYPE_CHECKING:
    from services.settings.load import Settings

INFO_FILE = "dataset.json"
"""The file that makes a folder below data_dir a data set."""


def dataset_names(data_dir: Path) -> list[str]:
    """Names of the imported data sets below a folder."""
    return sorted(path.parent.name for path in data_dir.glob(f"*/{INFO_FILE}"))


def place_dataset(settings: "Settings", name: str = "") -> "Settings":
    """The settings with every path that is not set below the folder of a data set.

    Args:
        settings: as loaded.
        name: the data set; default: the setting dataset.name, or the only data set there is. Without any, the paths
            lie in data_dir itself.
    """
    chosen = name or settings.dataset.name or _only_dataset(settings.data_dir)
    folder = settings.data_dir / chosen
    store_paths = {"registry": folder / "feast" / "registry.db", "offline_dir": folder / "offline"}
    paths = {"registry_dir": str(folder / "registry"), "encoder_dir": folder / "encoder"}
    given, store = settings.model_fields_set, settings.store
    update = {path: value for path, value in paths.items() if path not in given}
    store_update = {path: value for path, value in store_paths.items() if path not in store.model_fields_set}
    dataset = settings.dataset.model_copy(update={"name": chosen})
    return settings.model_copy(update={**update, "store": store.model_copy(update=store_update), "dataset": dataset})


def require_dataset(settings: "Settings") -> None:
    """Raise ConfigurationError if the models and the encoder of several data sets could be meant."""
    folder, names = settings.data_dir, dataset_names(settings.data_dir)
    unplaced = settings.registry_dir == str(folder / "registry") or settings.encoder_dir == folder / "encoder"
    if not settings.dataset.name and len(names) > 1 and unplaced:
        raise ConfigurationError(
            f"dataset.name: {folder} holds the data sets {', '.join(names)}: set it (CROSSREC_DATASET__NAME) to the "
            "one whose models and text encoder are meant"
        )


def find_dataset(settings: "Settings", name: str) -> Path:
    """The folder of an imported data set. Raises ConfigurationError that lists those there are."""
    folder = settings.data_dir / name
    if not (folder / INFO_FILE).is_file():
        names = dataset_names(settings.data_dir)
        known = f"there are {', '.join(names)}{nearest(name, names)}" if names else "there is none"
        raise ConfigurationError(
            f"data: no data set {name} in {settings.data_dir}; {known}; `crossrec import` makes one"
        )
    return folder


def _only_dataset(data_dir: Path) -> str:
    names = dataset_names(data_dir)
    return names[0] if len(names) == 1 else ""
