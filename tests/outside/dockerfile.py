"""Reads deploy/Dockerfile: its instructions, and those of a stage. Supports the few that are used there."""

from collections.abc import Sequence
from pathlib import Path

Instruction = tuple[str, str]
"""The word and the rest of an instruction."""


def instructions(root: Path) -> list[Instruction]:
    """All instructions, lines joined, comments left out."""
    lines = (root / "deploy" / "Dockerfile").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#")).replace("\\\n", " ")
    split = (line.split(maxsplit=1) for line in text.splitlines() if line.strip())
    return [(word, " ".join(rest.split())) for word, rest in split]


def stage(steps: Sequence[Instruction], name: str) -> list[Instruction]:
    """The instructions of a stage, after those of the stages that it is made from."""
    heads = [number for number, (word, _) in enumerate(steps) if word == "FROM"]
    for begin, end in zip(heads, [*heads[1:], len(steps)], strict=True):
        base, _, own = steps[begin][1].partition(" AS ")
        if own == name:
            return [*stage(steps, base), *steps[begin + 1 : end]]
    return []  # an external image
