"""Writes the notices of all Python packages of an environment: `python notices.py FILE`, by its own Python.

Name, version, licence as the package states it, home page, and the text of every licence and notice file that it
ships. Uses the standard library alone: it runs where nothing but the packages is installed. Names the packages that
state no licence and ship no text, such as collections of others, on standard error.
"""

import re
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

TEXTS = re.compile(
    r"(^|/)((licen[cs]e|copying|notice|authors|thirdparty|third[-_]party)[^/]*|licenses/.+)$", re.IGNORECASE
)
"""Files of a package, by their paths in it, that hold licences and notices."""

CODE = {".py", ".pyc", ".so", ".pyi"}
OWN = {"crossrec", "crossrec-client"}
LINE = "=" * 80
UNSTATED = "not stated by the package"


def notices(packages: list[Distribution]) -> str:
    """The notices of the packages, by name."""
    parts = [f"CrossRec contains {len(packages)} packages of others. Their licences and notices:"]
    for package in sorted(packages, key=_name):
        texts = [f"--- {path} ---\n\n{text.strip()}" for path, text in _texts(package)]
        parts.append("\n\n".join([f"{LINE}\n{_head(package)}", *(texts or ["(no text in the package)"])]))
    return "\n\n".join(parts) + "\n"


def packages_here() -> list[Distribution]:
    """The packages that this Python finds, each once, without CrossRec's own."""
    found = {_name(package): package for package in reversed(list(distributions())) if package.metadata["Name"]}
    return [package for name, package in found.items() if name not in OWN]


def _name(package: Distribution) -> str:
    return re.sub(r"[-_.]+", "-", package.metadata["Name"]).lower()


def _head(package: Distribution) -> str:
    lines = [
        f"{package.metadata['Name']} {package.version}",
        f"Licence: {_licence(package) or ('see the text' if any(_texts(package)) else UNSTATED)}",
    ]
    pages = [package.metadata["Home-page"], *(package.metadata.get_all("Project-URL") or [])]
    page = next((page for page in pages if page and page != "UNKNOWN"), "")
    return "\n".join([*lines, *([f"Page: {page.rpartition(', ')[2]}"] if page else [])])


def _licence(package: Distribution) -> str:
    """The licence that the package states: an expression, a short text, or classifiers."""
    stated = package.metadata["License-Expression"] or package.metadata["License"] or ""
    if stated.strip() and stated != "UNKNOWN" and len(stated.splitlines()) == 1:
        return stated.strip()
    classifiers = package.metadata.get_all("Classifier") or []
    return ", ".join(line.rpartition(" :: ")[2] for line in classifiers if line.startswith("License ::"))


def _texts(package: Distribution) -> Iterator[tuple[str, str]]:
    for path in sorted(package.files or [], key=str):
        if TEXTS.search(str(path)) and path.suffix not in CODE:
            file = Path(str(path.locate()))
            if file.is_file():
                yield str(path), file.read_text(encoding="utf-8", errors="replace")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python notices.py FILE")
    written = notices(packages_here())
    Path(sys.argv[1]).write_text(written, encoding="utf-8")
    for unstated in re.findall(rf"^(.+)\nLicence: {UNSTATED}$", written, re.MULTILINE):
        sys.stderr.write(f"warning: {unstated} states no licence\n")
