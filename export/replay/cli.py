"""The replay as commands run it: the text encoder if there is none, then the rows, with a progress bar."""

from rich.console import Console
from rich.progress import Progress

from export.datasets.storage import DatasetReader
from export.replay.pipeline import ensure_encoder, replay_rows
from services.settings.load import Settings

OFFLINE_USERS = 0.1
"""Share of users whose rows go to Feast's offline source, unless the user says otherwise."""


def replay_data(settings: Settings, data: str, console: Console, offline_users: float = OFFLINE_USERS) -> None:
    """Replay an imported data set into training rows and Feast's offline source, and say where they are."""
    directory = settings.data_dir / data
    reader = DatasetReader(directory)
    ensure_encoder(settings, reader)
    with Progress(transient=True) as progress:
        task = progress.add_task("replaying", total=None)
        replay_rows(
            settings,
            reader,
            directory / "rows",
            offline_users,
            lambda done, total: progress.update(task, completed=done, total=total),
        )
    console.print(f"training rows in {directory / 'rows'}")
