"""Checks of the processor, memory and limits of the machine."""

import platform
import resource
from pathlib import Path

import pytest

from services.doctor.check import CheckState
from services.doctor.machine import (
    FLAGS,
    codecs_check,
    cores_check,
    cpu_quota,
    machine_checks,
    memory_check,
    open_files_check,
    processor_check,
)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the flags are those of x86_64")
@pytest.mark.parametrize(
    ("flags", "state", "found"),
    [
        ("fma avx2 avx512f", CheckState.OK, "x86_64 with avx512f, avx2, fma"),
        ("sse2 avx2", CheckState.WARNING, "x86_64 with avx2"),
        ("sse2", CheckState.WARNING, "x86_64 with none of avx512f, avx2, fma"),
    ],
)
def test_instructions_that_matter_are_named(tmp_path: Path, flags: str, state: CheckState, found: str) -> None:
    """Best first; without the best one the check is a warning."""
    (tmp_path / "cpuinfo").write_text(f"model name\t: X\nflags\t\t: {flags}\n")
    check = processor_check(tmp_path / "cpuinfo")
    assert (state, found) == (check.state, check.found)
    assert FLAGS["x86_64"][0] == "avx512f"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
        ({}, None),
    ],
)
def test_limits_of_control_groups_are_read(tmp_path: Path, files: dict[str, str], expected: float | None) -> None:
    """Of both versions; without any there is no limit."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert expected == cpu_quota(tmp_path)


def test_less_than_a_core_is_a_warning(tmp_path: Path) -> None:
    """The finding has the limit."""
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    check = cores_check(tmp_path)
    assert CheckState.WARNING == check.state
    assert check.found.endswith("limited to 0.5")


def test_a_memory_limit_is_named(tmp_path: Path) -> None:
    """If it is below the memory of the machine."""
    (tmp_path / "memory.max").write_text(f"{2**29}\n")
    assert memory_check(tmp_path).found.endswith("limited to 0.5 GiB")
    (tmp_path / "memory.max").write_text("max\n")
    assert memory_check(tmp_path).found.endswith("no limit")


@pytest.mark.parametrize(
    ("limit", "state"), [(1024, CheckState.WARNING), (4096, CheckState.OK), (resource.RLIM_INFINITY, CheckState.OK)]
)
def test_few_open_files_are_a_warning(limit: int, state: CheckState) -> None:
    """A busy server would run out of them."""
    assert state == open_files_check(limit).state


def test_clients_use_their_compiled_packages_here() -> None:
    """The locked environment has both."""
    found = {check.name: check.state for check in machine_checks()}
    assert (CheckState.OK, CheckState.OK) == (found["hiredis"], found["crc32c"])


def test_a_codec_without_its_package_is_named() -> None:
    """Records compressed with it would stop a consumer."""
    check = codecs_check(["lz4", "zstd"])
    assert (CheckState.WRONG, "cannot read records compressed with lz4, zstd") == (check.state, check.found)
    assert CheckState.OK == codecs_check([]).state
    assert CheckState.OK == {each.name: each.state for each in machine_checks()}["Kafka's codecs"]
