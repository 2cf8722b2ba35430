"""The contracts stay compatible with those of the last release, and the check detects a break."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUF = Path(sys.executable).parent / "buf"
RELEASED = ROOT / "proto" / "released.binpb"
EVENTS = "crossrec/events/v1/events.proto"
RANKING = "crossrec/ranking/v1/ranking.proto"


def breaks(proto: Path) -> list[str]:
    """The findings of `make check` for the contracts in a directory; empty if they are compatible."""
    command = [BUF, "breaking", proto, "--against", RELEASED]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode in (0, 100), run.stderr  # 100: incompatible; others: buf itself failed
    return run.stdout.splitlines()


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the contracts, to be changed."""
    for name in ("buf.yaml", EVENTS, "crossrec/events/v1/activity.proto", RANKING):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "proto" / name, tmp_path / name)
    return tmp_path


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_the_contracts_are_compatible_with_the_last_release(copied: Path) -> None:
    """Clients of the last release understand this gateway and this ranking server."""
    assert breaks(copied) == []


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        (EVENTS, "string event_id = 1;", "bytes event_id = 1;"),
        (EVENTS, "string scenario_id = 3;", "string scenario_id = 30;"),
        (EVENTS, "EVENT_TYPE_CLICK = 2;", "EVENT_TYPE_PRESS = 2;"),
        (EVENTS, "rpc Publish(PublishRequest)", "rpc Send(PublishRequest)"),
        (RANKING, "service RankingService", "service RankService"),
    ],
    ids=["type", "number", "enum value", "method", "service"],
)
def test_an_incompatible_change_is_detected(copied: Path, name: str, old: str, new: str) -> None:
    """A field, an enum value, a method or a service that a client of the last release relies on."""
    change(copied / name, old, new)
    assert breaks(copied)


def test_an_addition_is_compatible(copied: Path) -> None:
    """A new field with a new number is compatible."""
    change(copied / EVENTS, "string event_id = 1;", "string event_id = 1;\n  string added = 100;")
    assert breaks(copied) == []
