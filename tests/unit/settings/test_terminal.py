"""What commands print is what they were given: brackets are no markup."""

import io
import re
from pathlib import Path

import pytest
from rich.table import Table

import services.settings.terminal
from services.settings.terminal import open_console

ROOT = Path(services.settings.terminal.__file__).parents[2]


@pytest.mark.parametrize(
    "text", ["until [[features.attributes]] declares them", "[features]", "[bold]u[/bold]", "a[/]b"]
)
def test_brackets_are_printed(text: str) -> None:
    """In lines, cells, titles and headers."""
    console = open_console()
    console.file, console.width = io.StringIO(), 100
    table = Table(text, title=text)
    table.add_row(text)
    console.print(text)
    console.print(table)
    assert 4 == console.file.getvalue().count(text)


def test_commands_print_to_no_other_console() -> None:
    """A console of rich itself would take ids and settings for markup."""
    sources = [path for package in ("services", "export", "tests/bench") for path in (ROOT / package).rglob("*.py")]
    own = {str(path.relative_to(ROOT)) for path in sources if re.search(r"\bConsole\(", path.read_text())}
    assert {"services/main.py", "services/settings/terminal.py"} == own  # the first prints a Text
    markup = {str(path.relative_to(ROOT)) for path in sources if "from rich.markup" in path.read_text()}
    assert set() == markup
