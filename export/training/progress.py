"""Progress bars of training: rows done within an epoch, with the smoothed loss."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich import get_console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

SMOOTHING = 0.05
"""Weight of the newest batch in the displayed loss."""


@contextmanager
def epoch_progress(title: str, rows: int, *, visible: bool) -> Iterator[Callable[[int, float], None]]:
    """A bar over `rows` rows, in a terminal only; yields a function to call with a batch's rows and loss."""
    console = get_console()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.4f}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not (visible and console.is_terminal)) as progress:
        task, smooth = progress.add_task(title, total=rows, loss=float("nan")), float("nan")

        def advance(done: int, loss: float) -> None:
            nonlocal smooth
            smooth = loss if smooth != smooth else smooth + SMOOTHING * (loss - smooth)  # noqa: PLR0124
            progress.update(task, advance=done, loss=smooth)

        yield advance
