"""Files that change while the process runs."""

from pathlib import Path

import pytest

from services.errors import ConfigurationError
from services.server.security.watched_files import WatchedFiles
from services.settings.section import read_file
from tests.contract.private import logs


def watched(path: Path, check_interval_s: float = 0.0, clock_s: object = None) -> WatchedFiles[str]:
    def read() -> str:
        text = read_file("the.setting", path).decode()
        if text == "broken":
            raise ConfigurationError("the.setting: is broken")
        return text

    more = {"clock_s": clock_s} if clock_s else {}
    return WatchedFiles("words", [path], read, check_interval_s, **more)


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("one")
    found = watched(path)
    first = found.current()
    assert "one" == first
    assert found.current() is first
    path.write_text("two!")
    assert "two!" == found.current()


def test_a_file_that_was_replaced_is_read_again(tmp_path: Path) -> None:
    """As who mounts secrets does it: a link to another folder."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    (tmp_path / "now").symlink_to("one")
    found = watched(tmp_path / "now" / "file")
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").replace(tmp_path / "now")
    assert "two" == found.current()


@pytest.mark.parametrize("breaks", [lambda path: path.write_text("broken"), lambda path: path.unlink()])
def test_a_broken_file_changes_nothing_and_is_logged_once(tmp_path: Path, breaks: object) -> None:
    path = tmp_path / "file"
    path.write_text("one")
    found = watched(path)
    with logs() as lines:
        breaks(path)  # type: ignore[operator]
        assert ["one", "one"] == [found.current(), found.current()]
        assert 1 == lines.getvalue().count('"event": "words_not_reloaded"')
        path.write_text("mended")
        assert "mended" == found.current()
        assert 1 == lines.getvalue().count('"event": "words_reloaded"')


def test_a_file_that_is_missing_at_the_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"the\.setting: cannot read"):
        watched(tmp_path / "absent")


def test_nobody_looks_more_often_than_told(tmp_path: Path) -> None:
    """Looking costs a system call; calls come by the thousand."""
    path, now = tmp_path / "file", [0.0]
    path.write_text("one")
    found = watched(path, 1.0, lambda: now[0])
    path.write_text("two!")
    assert "one" == found.current()
    now[0] = 1.0
    assert "two!" == found.current()
