"""Progress bars of training: rows done within an epoch, with the loss so far."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich import get_console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

SMOOTHING = 0.05
"""Weight of the newest batch in the loss shown."""


@contextmanager
def epoch_bar(title: str, rows: int, *, shown: bool) -> Iterator[Callable[[int, float], None]]:
    """A bar over `rows` rows, in a terminal only; what it gives is called with rows done and their loss per batch."""
    console = get_console()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.4f}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not (shown and console.is_terminal)) as progress:
        task, smooth = progress.add_task(title, total=rows, loss=float("nan")), float("nan")

        def advance(done: int, loss: float) -> None:
            nonlocal smooth
            smooth = loss if smooth != smooth else smooth + SMOOTHING * (loss - smooth)  # noqa: PLR0124
            progress.update(task, advance=done, loss=smooth)

        yield advance
