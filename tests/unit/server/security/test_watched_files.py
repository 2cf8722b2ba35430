"""Files that change while the process runs."""

from pathlib import Path

import pytest

from services.errors import ConfigurationError
from services.server.security.watched_files import WatchedFiles
from services.settings.section import read_file
from tests.contract.private import logs


def watch_file(path: Path, check_interval_s: float = 0.0, clock_s: object = None) -> WatchedFiles[str]:
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
    found = watch_file(path)
    first = found.current()
    assert "one" == first
    assert found.current() is first
    path.write_text("two!")
    assert "two!" == found.current()


def test_a_file_that_was_replaced_is_read_again(tmp_path: Path) -> None:
    """Kubernetes mounts secrets like this: a symbolic link to another directory."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    (tmp_path / "now").symlink_to("one")
    found = watch_file(tmp_path / "now" / "file")
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").replace(tmp_path / "now")
    assert "two" == found.current()


@pytest.mark.parametrize("breaks", [lambda path: path.write_text("broken"), lambda path: path.unlink()])
def test_an_invalid_file_keeps_the_last_content_and_is_logged_once(tmp_path: Path, breaks: object) -> None:
    path = tmp_path / "file"
    path.write_text("one")
    found = watch_file(path)
    with logs() as lines:
        breaks(path)  # type: ignore[operator]
        assert ["one", "one"] == [found.current(), found.current()]
        assert 1 == lines.getvalue().count('"event": "words_not_reloaded"')
        path.write_text("mended")
        assert "mended" == found.current()
        assert 1 == lines.getvalue().count('"event": "words_reloaded"')


def test_a_file_that_is_missing_at_the_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"the\.setting: cannot read"):
        watch_file(tmp_path / "absent")


def test_a_file_is_checked_at_most_once_per_interval(tmp_path: Path) -> None:
    """A check costs a system call, and there are thousands of requests."""
    path, now = tmp_path / "file", [0.0]
    path.write_text("one")
    found = watch_file(path, 1.0, lambda: now[0])
    path.write_text("two!")
    assert "one" == found.current()
    now[0] = 1.0
    assert "two!" == found.current()
