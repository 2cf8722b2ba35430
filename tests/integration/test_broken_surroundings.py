"""Commands in surroundings that cannot work: servers that refuse, folders that cannot be written, a full disk, no home.

Each ends with an exit status and one line `error:`; none with a traceback. That they judge their settings is in
tests/unit/test_broken_surroundings.py.
"""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.integration.forked_commands import Case, Outcome

ROOT = Path(__file__).resolve().parents[2]
REFUSED = {"CROSSREC_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1", "CROSSREC_STORE__URL": "127.0.0.1:1"}
NOWHERE = Path("/dev/null/there")
"""Nobody can make this directory, not even root."""

CROSSREC = [sys.executable, "-c", "from services.main import main; main()"]
REQUESTS = '{"userId": "u", "scenarioId": "tv", "itemIds": ["i"]}\n'


def assert_one_line(name: str, outcome: Outcome, *texts: str) -> None:
    printed = f"{name}: {outcome}"
    assert outcome.status in {1, 2}, printed
    assert "Traceback" not in outcome.out + outcome.err, printed
    assert "Exception ignored" not in outcome.err, printed
    errors = [line for line in outcome.err.splitlines() if line.startswith("error: ")]
    assert 1 == len(errors), printed
    assert any(text in errors[0] for text in texts), printed


def assert_quiet(name: str, outcome: Outcome) -> None:
    assert outcome.status in {0, 1}, f"{name}: {outcome}"
    assert not any(word in outcome.err for word in ("error", "Traceback", "ignored")), f"{name}: {outcome}"


def asking(directory: Path) -> dict[str, list[str]]:
    """Commands that ask Kafka, the store or a server."""
    requests = directory / "requests.jsonl"
    requests.write_text(REQUESTS)
    return {
        "setup": ["setup"],
        "consumers status": ["consumers", "status"],
        "consumers rewind": ["consumers", "rewind", "--to", "beginning", "--kind", "item", "--yes"],
        "dead-letters list": ["dead-letters", "list"],
        "user export": ["user", "export", "u"],
        "user erase": ["user", "erase", "u"],
        "attribution": ["attribution"],
        "health": ["health", "127.0.0.1:1", "--timeout-s", "60"],
        "load": ["load", "--target", "127.0.0.1:1", "--rate", "2", "--duration", "1", "--requests", str(requests)],
    }


def writing(out: Path, directory: Path) -> dict[str, list[str]]:
    """Commands that write files, and here into `out`."""
    source = directory / "template"
    return {
        "data template": ["data", "template", str(out)],
        "data check": ["data", "check", "--dir", str(source), "--json", str(out / "report.json")],
        "import": ["import", "jsonl", "--source", str(source), "--out", str(out)],
        "infra up": ["infra", "up", "--data-dir", str(out)],
        "demo": ["demo", "--out", str(out)],
    }


def keeping() -> dict[str, tuple[list[str], str]]:
    """Commands that keep files where a setting says, and the setting."""
    return {
        "setup": (["setup"], "CROSSREC_STORE__REGISTRY"),
        "train": (["train", "--data", "completejourney"], "CROSSREC_DATA_DIR"),
        "models list": (["models", "list"], "CROSSREC_REGISTRY_DIR"),
        "serve ranking": (["serve", "ranking"], "CROSSREC_ENCODER_DIR"),
        "replay": (["replay", "--data", "mine"], "CROSSREC_DATA_DIR"),
    }


def printing(directory: Path) -> dict[str, list[str]]:
    """Commands that print and need no server."""
    return {
        "settings": ["settings"],
        "schema": ["schema"],
        "tokens": ["tokens", "new", "--name", "shop", "--scope", "rank"],
        "infra status": ["infra", "status", "--data-dir", str(directory)],
        "infra down": ["infra", "down", "--data-dir", str(directory)],
        "data template": ["data", "template", str(directory / "template")],
    }


def all_cases(directory: Path) -> dict[tuple[str, str], Case]:
    """The commands by surrounding and name."""
    home = {"HOME": "/proc/nowhere", "XDG_CACHE_HOME": "", "CROSSREC_CACHE_DIR": ""}
    cases = {("refused", name): Case(arguments) for name, arguments in asking(directory).items()}
    cases |= {("nowhere", name): Case(arguments) for name, arguments in writing(NOWHERE, directory).items()}
    cases |= {
        ("nowhere", name): Case(arguments, {setting: str(NOWHERE)}) for name, (arguments, setting) in keeping().items()
    }
    full = writing(directory / "full", directory)
    cases |= {("full", name): Case(arguments, file_bytes=0) for name, arguments in full.items()}
    for stdout in ("/dev/full", "closed"):
        into = directory / stdout.strip("/")
        cases |= {(stdout, name): Case(arguments, stdout=stdout) for name, arguments in printing(into).items()}
    at_home = {**printing(directory / "home"), "demo": ["demo", "--out", str(directory / "demo")]}
    at_home |= {"infra up": ["infra", "up", "--data-dir", str(directory / "infra")]}
    return cases | {("home", name): Case(arguments, home) for name, arguments in at_home.items()}


Outcomes = dict[tuple[str, str], Outcome]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """What all commands did, with all settings below a directory of their own."""
    from export.datasets.template import write_template

    directory = tmp_path_factory.mktemp("broken")
    write_template(directory / "template")
    settings = {
        "CROSSREC_DATA_DIR": str(directory / "data"),
        "CROSSREC_REGISTRY_DIR": str(directory / "registry"),
        "CROSSREC_ENCODER_DIR": str(directory / "encoder"),
        "CROSSREC_STORE__REGISTRY": str(directory / "feast.db"),
        "CROSSREC_STORE__OFFLINE_DIR": str(directory / "offline"),
        "CROSSREC_GATEWAY__KAFKA_TIMEOUT_S": "1",
        "CROSSREC_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "CROSSREC_STORE__URL": "127.0.0.1:1",
    }
    cases = all_cases(directory)
    given = json.dumps([asdict(case) for case in cases.values()])
    command = [sys.executable, "-W", "ignore", "-m", "tests.integration.forked_commands"]
    done = subprocess.run(
        command,
        input=given,
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**without_settings(), **settings},
    )
    return dict(zip(cases, (Outcome(**outcome) for outcome in json.loads(done.stdout)), strict=True))


def without_settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("CROSSREC_")}


@pytest.mark.parametrize("surrounding", ["refused", "nowhere", "full"])
def test_every_command_ends_with_one_line(surrounding: str, outcomes: Outcomes) -> None:
    """Servers that refuse, folders that nobody can make, a disk that takes no byte."""
    reasons = {
        "refused": ("127.0.0.1:1", "Kafka has not confirmed"),
        "nowhere": (str(NOWHERE), "/dev/null"),
        "full": ("File too large",),
    }
    found = {name: outcome for (where, name), outcome in outcomes.items() if where == surrounding}
    assert found
    for name, outcome in found.items():
        assert_one_line(name, outcome, *reasons[surrounding])


def test_standard_output_that_takes_nothing(outcomes: Outcomes) -> None:
    """Where it is closed there is nobody to miss anything."""
    for (surrounding, name), outcome in outcomes.items():
        if surrounding == "/dev/full":
            assert_one_line(name, outcome, "standard output: No space left on device")
        if surrounding == "closed":
            assert_quiet(name, outcome)


def test_a_home_that_is_not_there(outcomes: Outcomes) -> None:
    """Commands that keep nothing at home work; the others name the folder."""
    for (surrounding, name), outcome in outcomes.items():
        if surrounding == "home" and name in {"infra up", "demo"}:
            assert_one_line(name, outcome, "/proc/nowhere")
        elif surrounding == "home":
            assert_quiet(name, outcome)


def test_an_ascii_terminal(tmp_path: Path) -> None:
    """Tables are drawn with what it has."""
    environment = {**without_settings(), "LANG": "C", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    for arguments in (["settings"], ["data", "template", str(tmp_path / "café")]):
        done = subprocess.run([*CROSSREC, *arguments], capture_output=True, check=False, cwd=ROOT, env=environment)
        assert (0, b"") == (done.returncode, done.stderr)
        assert done.stdout.isascii()


def test_a_reader_that_has_enough() -> None:
    """`crossrec settings | head -1`: as other programs, it ends without a word."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*CROSSREC, "settings"], stdout=writer, stderr=subprocess.PIPE, check=False, cwd=ROOT, env=without_settings()
    )
    os.close(writer)
    assert (1, b"") == (done.returncode, done.stderr)
