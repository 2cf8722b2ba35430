"""The notices of other people's packages."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SERVED = ("grpcio", "numpy", "onnxruntime", "pyarrow", "pydantic", "redis", "feast", "PyJWT")


@pytest.fixture(scope="module")
def notices(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The part of each package of this environment, by its first line."""
    file = tmp_path_factory.mktemp("notices") / "THIRD_PARTY_NOTICES.txt"
    subprocess.run([sys.executable, "deploy/notices.py", str(file)], check=True, cwd=ROOT, stderr=subprocess.PIPE)
    first, *parts = file.read_text(encoding="utf-8").split("=" * 80 + "\n")
    found = {part.split()[0]: part for part in parts if "\nLicence: " in part}
    assert f"CrossRec contains {len(found)} packages of others" in first
    return found


@pytest.mark.parametrize("name", SERVED)
def test_a_package_has_its_licence(name: str, notices: dict[str, str]) -> None:
    """The statement of the package, and where it ships them, the texts."""
    (part,) = (part for found, part in notices.items() if found in {name, f"{name}-gpu"})
    assert "Licence: not stated" not in part
    assert "Page: http" in part


def test_texts_are_whole(notices: dict[str, str]) -> None:
    assert "Redistribution and use in source and binary forms" in notices["numpy"]
    assert "NOTICE" in notices["pyarrow"]


def test_the_program_itself_is_no_package_of_others(notices: dict[str, str]) -> None:
    assert "crossrec" not in notices
