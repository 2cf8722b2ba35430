"""Progress of a replay on stderr: events done, rate and time left, as a bar in a terminal and as lines elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from services.settings.terminal import open_console

LINE_S = 10.0
"""Seconds between two lines."""

OnProgress = Callable[[float, float], None]
"""Called with the events done and the total."""


@contextmanager
def replay_progress(
    console: Console | None = None, clock: Callable[[], float] = time.monotonic
) -> Iterator[OnProgress]:
    """Yields a function to call as the replay advances."""
    console = console or open_console(stderr=True)
    if not console.is_terminal:
        yield _lines(console, clock)
        return
    columns = (TextColumn("replaying"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, total: progress.update(task, completed=int(done), total=int(total))


def describe_progress(done: float, total: float, seconds: float) -> str:
    """One line: events done, rate since the start, and time left at that rate."""
    rate = done / seconds if seconds > 0 else 0.0
    left = f", {(total - done) / rate:,.0f} s left" if rate else ""
    return f"replayed {done:,.0f} of {total:,.0f} events, {rate:,.0f} a second{left}"


def _lines(console: Console, clock: Callable[[], float]) -> OnProgress:
    begun = printed = clock()

    def report(done: float, total: float) -> None:
        nonlocal printed
        if clock() - printed >= LINE_S:
            printed = clock()
            console.print(describe_progress(done, total, printed - begun), highlight=False, soft_wrap=True)

    return report


class _Rate(ProgressColumn):
    """Events per second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:,.0f} a second")
