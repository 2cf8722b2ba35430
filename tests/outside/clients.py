"""The programs of tests/contract/clients: how each is built and run, without the output that is expected of them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "contract" / "clients"
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
"""Includes buf, which is one of the development packages."""


@dataclass(frozen=True)
class Program:
    """A client.

    Args:
        language: its folder.
        tools: programs it is built and run with.
        build: commands that make it.
        command: runs it.
    """

    language: str
    tools: Sequence[str]
    build: Sequence[Sequence[str]]
    command: Sequence[str]

    def missing(self) -> list[str]:
        """Tools that this machine lacks."""
        return [tool for tool in self.tools if not shutil.which(tool, path=PATH)]

    def make(self) -> None:
        """Build it; packages come from the registries the first time."""
        for command in self.build:
            run = self._run(command, {})
            assert 0 == run.returncode, f"{' '.join(command)}\n{run.stdout}\n{run.stderr}"

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run it with CROSSREC_<name> set."""
        return self._run(
            [*self.command, *arguments], {f"CROSSREC_{name}": value for name, value in environment.items()}
        )

    def _run(self, command: Sequence[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CROSSREC_")}
        variables = {**inherited, "PATH": PATH, **environment}
        folder = FOLDER / self.language
        return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)


PROGRAMS = (
    Program("go", ["go", "buf"], [["buf", "generate"], ["go", "build", "-o", "gen/client", "."]], ["gen/client"]),
    Program(
        "java",
        ["mvn", "java"],
        [["mvn", "-q", "-B", "process-classes"]],
        ["java", "-cp", "target/classes:target/lib/*", "Client"],
    ),
    Program(
        "typescript",
        ["node", "npm", "buf"],
        [["npm", "install", "--no-package-lock"], ["npm", "run", "build"]],
        ["node", "dist/client.js"],
    ),
)
