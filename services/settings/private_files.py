"""Files and directories with personal data: only the user who makes them may read them, whatever the umask.

Models and text encoders are no such files: servers of other users read them.
"""

import os
from pathlib import Path


def make_private_directory(path: Path) -> None:
    """Make a directory that no other user may enter; one that exists, and parents, have the rights that they have."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)


def write_private_text(path: Path, text: str) -> None:
    """Write a file that no other user may read, also where it exists with more rights. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o600)
        file.write(text)
