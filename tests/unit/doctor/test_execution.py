"""Checks of providers and libraries; those that are not configured do not fail."""

import sys
from pathlib import Path

import onnxruntime
import pytest

from services.doctor.check import Check, CheckState, exit_code
from services.doctor.execution import (
    IDENTITY,
    driver_check,
    execution_checks,
    library_checks,
    library_names,
    provider_checks,
)

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
ON_A_DEVICE = Path("/dev/nvidia0").exists()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "identity.onnx"
    file.write_bytes(IDENTITY)
    return file


def find_check(checks: list[Check], name: str) -> Check:
    (found,) = [check for check in checks if check.name == name]
    return found


def test_the_cpu_provider_is_always_available(path: Path) -> None:
    """A session is created with it."""
    found = find_check(list(provider_checks(path, [CPU], {})), f"provider {CPU}")
    assert (CheckState.OK, "a session runs on it") == (found.state, found.found)


def test_a_provider_that_is_not_compiled_in_is_wrong_if_configured(path: Path) -> None:
    """The advice lists the providers that are."""
    found = find_check(
        list(provider_checks(path, ["NoSuchExecutionProvider", CPU], {})), "provider NoSuchExecutionProvider"
    )
    assert CheckState.WRONG == found.state
    assert CPU in found.advice


@pytest.mark.skipif(ON_A_DEVICE, reason="this machine has an NVIDIA device: CUDA may be obtained")
@pytest.mark.parametrize(("configured", "state"), [([CUDA, CPU], CheckState.WRONG), ([CPU], CheckState.OK)])
def test_a_provider_without_its_libraries_is_wrong_only_if_configured(configured: list[str], state: CheckState) -> None:
    """It is compiled in, but ONNX Runtime would run without it. The same applies to driver and libraries."""
    checks = list(execution_checks(configured, {}))
    assert state == find_check(checks, f"provider {CUDA}").state
    assert state == find_check(checks, "NVIDIA driver").state
    assert int(state is CheckState.WRONG) == exit_code(checks)
    assert onnxruntime.get_available_providers() != [CPU]


def test_invalid_options_are_reported(path: Path) -> None:
    """Whatever error the provider raises."""
    found = find_check(list(provider_checks(path, [CUDA], {CUDA: {"no_such_option": "1"}})), f"provider {CUDA}")
    assert CheckState.WRONG == found.state


@pytest.mark.parametrize(("needed", "state"), [(True, CheckState.WRONG), (False, CheckState.OK)])
def test_missing_libraries_are_named(needed: bool, state: CheckState) -> None:
    """All in one line."""
    (found,) = library_checks(["libnosuch.so.1", "libnone.so.2"], needed=needed)
    assert state == found.state
    assert "missing: libnosuch.so.1, libnone.so.2" in found.found


@pytest.mark.parametrize(
    ("version", "configured", "expected"),
    [
        ("13.0", [CUDA], {"libcudart.so.13", "libcufft.so.12", "libcudnn.so.9"}),
        ("12.8", ["TensorrtExecutionProvider"], {"libcudart.so.12", "libcufft.so.11", "libnvinfer.so.10"}),
    ],
)
def test_libraries_are_those_of_the_cuda_version_of_the_build(
    version: str, configured: list[str], expected: set[str]
) -> None:
    """Other major versions have other names."""
    assert expected <= set(library_names(version, configured))


@pytest.mark.parametrize(
    ("code", "state", "found"),
    [
        ("print('H100, 580.1, 81559 MiB')", CheckState.OK, "H100, 580.1, 81559 MiB"),
        ("", CheckState.WARNING, "nvidia-smi lists no device"),
        ("raise SystemExit(9)", CheckState.WRONG, "nvidia-smi fails"),
    ],
)
def test_the_driver_check_reports_the_devices(code: str, state: CheckState, found: str) -> None:
    """Devices, no device, or a failure."""
    check = driver_check(needed=True, command=(sys.executable, "-c", code))
    assert state == check.state
    assert found in check.found
