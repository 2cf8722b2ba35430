"""The command line: chooses the settings file, runs a command of the table, prints errors without a traceback."""

import contextlib
import errno
import io
import os
import sys
import traceback
import warnings
from io import IOBase
from pathlib import Path
from typing import Annotated, NoReturn, TextIO

import typer

from services.commands import CommandGroup
from services.errors import CrossRecError
from services.server.logging import quiet_grpc

# Plain help: to draw boxes around it takes longer than all the rest.
app = typer.Typer(
    name="crossrec",
    cls=CommandGroup,
    help=(
        "Cross-scenario recommendations: features kept up to date from Kafka in Feast, models trained on the same "
        "features, ranked over gRPC. Start with `crossrec demo`; `crossrec settings` lists every setting."
    ),
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_show_locals=False,
)


@app.callback()
def root(
    config: Annotated[
        Path | None, typer.Option(help="TOML file with settings; the same as CROSSREC_CONFIG.", exists=True)
    ] = None,
) -> None:
    """Choose the settings file for this command and the processes it starts."""
    # kafka-python says this on every start; nothing here can act on it.
    warnings.filterwarnings("ignore", message="(read|open)_text is deprecated", category=DeprecationWarning)
    quiet_grpc()  # commands import grpc, this module does not
    if config:
        os.environ["CROSSREC_CONFIG"] = str(config.resolve())


def main() -> None:
    """Run the command line; errors that say what is wrong are printed in one line, without a traceback."""
    _prepare_streams()
    try:
        app()
    except CrossRecError as error:
        _fail(str(error))
    except OSError as error:
        lost = error.filename is None and _is_unwritable(sys.stdout)
        if lost:
            _discard_output()
        _fail(f"standard output: {error.strerror}" if lost else describe_os_error(error))
    finally:
        _flush()


def describe_os_error(error: OSError) -> str:
    """The file, if one is known, and the reason."""
    reason = error.strerror or str(error) or type(error).__name__
    named = [str(name) for name in (error.filename, error.filename2) if name is not None] or _written_file(error)
    return f"{' to '.join(named)}: {reason}" if named else reason


def _written_file(error: OSError) -> list[str]:
    """The file whose writing failed, of which the error knows nothing, from the innermost call that has one."""
    for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
        for value in frame.f_locals.values():
            name = getattr(value, "name", None) if isinstance(value, IOBase) else value
            if isinstance(name, Path) or (isinstance(value, IOBase) and isinstance(name, str)):
                return [str(name)]
    return []


def _is_unwritable(stream: TextIO) -> bool:
    try:
        stream.write("\n")  # to flush nothing always succeeds
        stream.flush()
    except OSError:
        return True
    return False


def _prepare_streams() -> None:
    """Let texts in any script be printed on any terminal, and commands run whose output was closed (`>&-`)."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - until the process ends
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _flush() -> None:
    """Write what is buffered, while an error can still be reported."""
    try:
        sys.stdout.flush()
    except OSError as error:
        _discard_output()
        if error.errno != errno.EPIPE:  # the reader, like `head`, has enough
            _fail(f"standard output: {error.strerror}")
        raise SystemExit(1) from None


def _discard_output() -> None:
    """Drop what is buffered for standard output: it would fail again when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(text: str) -> NoReturn:
    from rich.console import Console
    from rich.text import Text

    with contextlib.suppress(OSError):  # where standard error is full, too, the exit status must do
        Console(stderr=True).print(Text.assemble(("error:", "red"), f" {text}"), soft_wrap=True)
    raise SystemExit(1) from None
