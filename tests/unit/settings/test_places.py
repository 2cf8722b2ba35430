"""Where everything of a data set lies."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.errors import ConfigurationError
from services.main import app
from services.settings.load import Settings, load_settings
from services.settings.places import find_dataset, require_dataset


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of data sets, empty, and no other settings."""
    monkeypatch.delenv("CROSSREC_CONFIG", raising=False)
    monkeypatch.setenv("CROSSREC_DATA_DIR", str(tmp_path))
    return tmp_path


def add(data: Path, *names: str) -> None:
    for name in names:
        (data / name).mkdir()
        (data / name / "dataset.json").write_text("{}")


def places(settings: Settings) -> list[Path]:
    store = settings.store
    return [Path(settings.registry_dir), settings.encoder_dir, store.offline_dir, store.registry]


def below(folder: Path) -> list[Path]:
    return [folder / "registry", folder / "encoder", folder / "offline", folder / "feast" / "registry.db"]


def test_two_data_sets_share_nothing(data: Path) -> None:
    """Models, encoder and Feast's files of each lie in its own folder."""
    add(data, "movies", "shop")
    assert below(data / "movies") == places(load_settings("movies"))
    assert below(data / "shop") == places(load_settings("shop"))


def test_servers_find_the_only_data_set_or_the_named_one(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an option: dataset.name, else the only one."""
    add(data, "movies")
    assert below(data / "movies") == places(load_settings())
    monkeypatch.setenv("CROSSREC_DATASET__NAME", "shop")
    assert below(data / "shop") == places(load_settings())
    assert below(data / "movies") == places(load_settings("movies"))


def test_a_path_that_is_set_stays(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others still follow the data set."""
    add(data, "movies")
    monkeypatch.setenv("CROSSREC_REGISTRY_DIR", "s3://bucket/models")
    monkeypatch.setenv("CROSSREC_STORE__REGISTRY", "/feast.db")
    found = load_settings()
    assert ("s3://bucket/models", Path("/feast.db")) == (found.registry_dir, found.store.registry)
    assert (data / "movies" / "encoder", data / "movies" / "offline") == (found.encoder_dir, found.store.offline_dir)


def test_several_data_sets_need_a_name(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For whatever reads models: the error lists them; paths that are set, or a name, are enough."""
    require_dataset(load_settings())
    add(data, "movies", "shop")
    with pytest.raises(ConfigurationError, match=r"dataset.name: .* holds the data sets movies, shop: set it \(CROSS"):
        require_dataset(load_settings())
    require_dataset(load_settings("shop"))
    monkeypatch.setenv("CROSSREC_REGISTRY_DIR", "/models/registry")
    monkeypatch.setenv("CROSSREC_ENCODER_DIR", "/models/encoder")
    require_dataset(load_settings())


def test_an_unknown_data_set_is_named(data: Path) -> None:
    """With those there are, and the nearest."""
    with pytest.raises(ConfigurationError, match=r"data: no data set movies in .*; there is none; `crossrec import`"):
        find_dataset(load_settings(), "movies")
    add(data, "movies")
    with pytest.raises(ConfigurationError, match=r"no data set movie in .*; there are movies; the nearest is movies;"):
        find_dataset(load_settings(), "movie")
    assert data / "movies" == find_dataset(load_settings(), "movies")


def test_commands_that_read_models_ask_for_the_data_set(data: Path) -> None:
    """Where there are several: `crossrec models list`, but not `crossrec settings`."""
    add(data, "movies", "shop")
    result = CliRunner().invoke(app, ["models", "list"])
    assert isinstance(result.exception, ConfigurationError)
    assert "dataset.name: " in str(result.exception)
    assert 0 == CliRunner().invoke(app, ["settings"]).exit_code
