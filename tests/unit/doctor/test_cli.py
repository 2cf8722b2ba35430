"""The report as a table and as JSON, and the exit code."""

import json

import pytest
from rich.console import Console
from typer.testing import CliRunner

from services.doctor.check import exit_code, ok, warning, wrong
from services.doctor.cli import table
from services.main import app

CHECKS = [ok("one", "all is well"), warning("two", "slow", "pip install 'x[fast]'")]


@pytest.mark.parametrize(("more", "code"), [([], 0), ([wrong("three", "nothing", "start it")], 1)])
def test_only_wrong_checks_fail(more: list, code: int) -> None:
    """Warnings do not."""
    assert code == exit_code([*CHECKS, *more])


def test_brackets_are_printed_as_they_are() -> None:
    """Names of extras are not markup."""
    console = Console(markup=False, width=120)
    with console.capture() as printed:
        console.print(table(CHECKS))
    assert "pip install 'x[fast]'" in printed.get()


def test_json_has_every_check_and_the_command_fails_if_one_is_wrong() -> None:
    """Here, nothing listens at the configured addresses."""
    nowhere = {"CROSSREC_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1", "CROSSREC_STORE__URL": "127.0.0.1:1"}
    result = CliRunner().invoke(app, ["doctor", "--json"], env=nowhere)
    found = {check["name"]: check for check in json.loads(result.stdout)}
    assert 1 == result.exit_code
    assert {"wrong"} == {found[name]["state"] for name in ("Kafka", "online store")}
    assert "ok" == found["provider CPUExecutionProvider"]["state"]
    assert all(check["advice"] for check in found.values() if check["state"] != "ok")
