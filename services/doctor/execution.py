"""Checks of what models run on: ONNX Runtime's providers, CUDA's libraries and the driver.

A provider counts as there only if a session was really made with it.
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

UNASKED = "; ranking.providers does not ask for it"

UNNEEDED = "; only a CUDA provider needs it"

CUDA_PACKAGES = "onnxruntime-gpu[cuda,cudnn]"
NVIDIA_SMI = ("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader")
SMI_S = 10.0


def execution_checks(asked: Sequence[str], options: Mapping[str, Mapping[str, str]]) -> Iterator[Check]:
    """Providers, asked for ones first in importance, and what those of NVIDIA need."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "identity.onnx"
        path.write_bytes(IDENTITY)
        yield from provider_checks(path, asked, options)
    needed = bool(set(asked) & set(ON_CUDA))
    if needed or set(onnxruntime.get_available_providers()) & set(ON_CUDA):
        yield driver_check(needed=needed)
        yield from library_checks(library_names(str(onnxruntime.cuda_version), asked), needed=needed)


def provider_checks(path: Path, asked: Sequence[str], options: Mapping[str, Mapping[str, str]]) -> Iterator[Check]:
    """Each provider that is compiled in or asked for, tried with the graph at `path`."""
    compiled = onnxruntime.get_available_providers()
    for provider in dict.fromkeys((*asked, *compiled)):
        name = f"provider {provider}"
        if provider not in compiled:
            known = ", ".join(compiled)
            yield wrong(name, "not compiled into ONNX Runtime", f"set ranking.providers to some of {known}")
            continue
        if not (reason := _refused(path, provider, options)):
            yield ok(
                name, "a session runs on it" + ("" if provider in asked else "; ranking.providers does not ask for it")
            )
        elif provider in asked:
            yield wrong(name, reason, "see the lines on CUDA below, or set ranking.providers to what there is")
        else:
            yield ok(name, "compiled in, not obtainable here" + UNASKED)


def _refused(path: Path, provider: str, options: Mapping[str, Mapping[str, str]]) -> str:
    """Why a session cannot be made with a provider; empty if it can."""
    # ONNX Runtime's own lines would stand between those of the report.
    onnxruntime.set_default_logger_severity(4)
    try:
        open_session(path, [provider], options)
    except ModelUnavailable:
        return "ONNX Runtime makes its session without it"
    except Exception as error:  # what providers raise has no common type
        return f"{type(error).__name__}: {error}"
    finally:
        onnxruntime.set_default_logger_severity(2)
    return ""


def library_names(cuda_version: str, asked: Sequence[str]) -> list[str]:
    """What the CUDA provider loads, by name; with TensorRT's where it is asked for."""
    major = cuda_version.partition(".")[0] or "12"
    names = [f"lib{name}.so.{major}" for name in ("cudart", "cublas", "cublasLt", "nvrtc")]
    names += ["libcurand.so.10", f"libcufft.so.{12 if int(major) >= 13 else 11}", "libcudnn.so.9"]
    return [*names, "libnvinfer.so.10"] if "TensorrtExecutionProvider" in asked else names


def library_checks(names: Sequence[str], *, needed: bool) -> Iterator[Check]:
    """Whether the loader finds each library, also in Python packages."""
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
    """What nvidia-smi says of devices and driver."""
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
