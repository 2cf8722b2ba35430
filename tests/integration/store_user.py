"""The rule for the store's user that the production guide lists."""

import re
from pathlib import Path

GUIDE = Path(__file__).resolve().parents[2] / "deploy" / "README.md"
USER = "crossrec"


def rule_of(project: str, password: str) -> list[str]:
    """The arguments of ACL SETUSER, as the guide lists them, for a project and a password."""
    (line,) = re.findall(r"^ *user crossrec (.*)$", GUIDE.read_text(), re.MULTILINE)
    return [part.replace("PASSWORD", password).replace("~*crossrec", f"~*{project}") for part in line.split()]
