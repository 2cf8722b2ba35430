"""Checks of ONNX Runtime's execution providers, CUDA's libraries and the driver.

A provider counts as available only if a session was created with it.
"""

import base64
import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import onnxruntime

from services.doctor.check import Check, ok, warning, wrong
from services.ranking.model.onnx_session import ON_CUDA, load_cuda, open_session
from services.registry.reader import ModelUnavailable

IDENTITY = base64.b64decode("CAg6NwoQCgF4EgF5IghJZGVudGl0eRIBZ1oPCgF4EgoKCAgBEgQKAggBYg8KAXkSCgoICAESBAoCCAFCBAoAEA0=")
"""The smallest graph: y [1] = Identity(x [1])."""

UNREQUESTED = "; not in ranking.providers"

UNNEEDED = "; needed by CUDA providers only"

CUDA_PACKAGES = "onnxruntime-gpu[cuda,cudnn]"
NVIDIA_SMI = ("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader")
SMI_S = 10.0


def execution_checks(requested: Sequence[str], options: Mapping[str, Mapping[str, str]]) -> Iterator[Check]:
    """Checks of the providers, and of what NVIDIA's need."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "identity.onnx"
        path.write_bytes(IDENTITY)
        yield from provider_checks(path, requested, options)
    needed = bool(set(requested) & set(ON_CUDA))
    if needed or set(onnxruntime.get_available_providers()) & set(ON_CUDA):
        yield driver_check(needed=needed)
        yield from library_checks(library_names(str(onnxruntime.cuda_version), requested), needed=needed)


def provider_checks(path: Path, requested: Sequence[str], options: Mapping[str, Mapping[str, str]]) -> Iterator[Check]:
    """Check each provider that is compiled in or requested, with the graph at `path`."""
    compiled = onnxruntime.get_available_providers()
    for provider in dict.fromkeys((*requested, *compiled)):
        name = f"provider {provider}"
        if provider not in compiled:
            known = ", ".join(compiled)
            yield wrong(name, "not compiled into ONNX Runtime", f"set ranking.providers to some of {known}")
            continue
        if not (reason := _session_error(path, provider, options)):
            yield ok(name, "a session runs on it" + ("" if provider in requested else UNREQUESTED))
        elif provider in requested:
            yield wrong(name, reason, "see the CUDA checks below, or set ranking.providers to available ones")
        else:
            yield ok(name, "compiled in, not available here" + UNREQUESTED)


def _session_error(path: Path, provider: str, options: Mapping[str, Mapping[str, str]]) -> str:
    """Why a session with a provider cannot be created; empty if it can."""
    # ONNX Runtime's own output would mix with the report.
    onnxruntime.set_default_logger_severity(4)
    try:
        open_session(path, [provider], options)
    except ModelUnavailable:
        return "ONNX Runtime creates the session without it"
    except Exception as error:  # what providers raise has no common type
        return f"{type(error).__name__}: {error}"
    finally:
        onnxruntime.set_default_logger_severity(2)
    return ""


def library_names(cuda_version: str, requested: Sequence[str]) -> list[str]:
    """Names of the libraries that the CUDA provider loads; TensorRT's too if it is requested."""
    major = cuda_version.partition(".")[0] or "12"
    names = [f"lib{name}.so.{major}" for name in ("cudart", "cublas", "cublasLt", "nvrtc")]
    names += ["libcurand.so.10", f"libcufft.so.{12 if int(major) >= 13 else 11}", "libcudnn.so.9"]
    return [*names, "libnvinfer.so.10"] if "TensorrtExecutionProvider" in requested else names


def library_checks(names: Sequence[str], *, needed: bool) -> Iterator[Check]:
    """Check whether the loader finds each library, also in Python packages."""
    load_cuda()
    missing = [name for name in names if not loads(name)]
    if found := [name for name in names if name not in missing]:
        yield ok("CUDA libraries", ", ".join(found))
    if missing and needed:
        advice = f"pip install '{CUDA_PACKAGES}', or put them on LD_LIBRARY_PATH"
        yield wrong("CUDA libraries", f"missing: {', '.join(missing)}", advice)
    elif missing:
        yield ok("CUDA libraries", f"missing: {', '.join(missing)}{UNNEEDED}")


def loads(name: str) -> bool:
    """Whether the loader finds a shared library."""
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def driver_check(*, needed: bool, command: Sequence[str] = NVIDIA_SMI) -> Check:
    """Check devices and driver with nvidia-smi."""
    name = "NVIDIA driver"
    if not shutil.which(command[0]):
        advice = "install the driver; start a container with the devices"
        return wrong(name, "no nvidia-smi", advice) if needed else ok(name, "no nvidia-smi" + UNNEEDED)
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=SMI_S, check=True)
    except (subprocess.SubprocessError, OSError) as error:
        found = f"nvidia-smi fails: {error}"
        return wrong(name, found, "reload or reinstall the driver") if needed else ok(name, found + UNNEEDED)
    if not (lines := run.stdout.strip().splitlines()):
        return warning(name, "nvidia-smi lists no device", "make a device visible to this process")
    return ok(name, "; ".join(lines))
