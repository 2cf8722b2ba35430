"""The terminal that commands print to: texts are shown as they are.

Without it, rich would take brackets in ids, names and settings for markup: `[features]` would be gone, and `[/x]` an
error. What is to be coloured is a `rich.text.Text`.
"""

from rich.console import Console


def open_console(*, stderr: bool = False, highlight: bool = True) -> Console:
    """A console that takes no markup; `highlight` colours numbers and paths."""
    return Console(stderr=stderr, highlight=highlight, markup=False)
