"""Checks of processor, memory, limits and Python packages. Reads /proc and /sys where they exist."""

import os
import platform
import resource
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from services.doctor.check import Check, ok, warning, wrong
from services.kafka.connection import has_compiled_checksums, missing_codecs

PACKAGES = (
    "crossrec",
    "onnxruntime-gpu",
    "numpy",
    "feast",
    "redis",
    "kafka-python",
    "grpcio",
    "protobuf",
    "pydantic-settings",
)

FLAGS = {"x86_64": ("avx512f", "avx2", "fma"), "aarch64": ("asimd",)}
"""Instructions that matrix products on the processor use, most important first."""

OPEN_FILES = 4096
"""A server needs a file per connection, besides those of Kafka, the store and the model."""

CGROUP = Path("/sys/fs/cgroup")


def machine_checks() -> Iterator[Check]:
    """All checks of the machine."""
    yield processor_check(Path("/proc/cpuinfo"))
    yield cores_check(CGROUP)
    yield memory_check(CGROUP)
    yield open_files_check(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    yield ok("packages", ", ".join(f"{name} {version_of(name)}" for name in ("Python", *PACKAGES)))
    yield from native_checks()
    yield codecs_check(missing_codecs())


def native_checks() -> Iterator[Check]:
    """Check whether the clients of store and Kafka use their optional compiled packages."""
    from redis.utils import HIREDIS_AVAILABLE

    for name, used, without in (
        ("hiredis", HIREDIS_AVAILABLE, "answers of the store are parsed in Python"),
        ("crc32c", has_compiled_checksums(), "checksums of Kafka's records are computed in Python"),
    ):
        if used:
            yield ok(name, f"{version_of(name)}, in use")
        else:
            yield warning(name, f"not in use: {without}", f"pip install --upgrade {name}")


def codecs_check(missing: Sequence[str]) -> Check:
    """Check whether records can be read whatever their producers, or the topics, compress them with."""
    if missing:
        advice = "pip install python-snappy lz4 zstandard"
        return wrong("Kafka's codecs", f"cannot read records compressed with {', '.join(missing)}", advice)
    return ok("Kafka's codecs", "gzip, snappy, lz4, zstd")


def version_of(package: str) -> str:
    """The installed version of a package, or of Python."""
    if package == "Python":
        return platform.python_version()
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def processor_check(cpuinfo: Path) -> Check:
    """Check the instructions that matrix products use."""
    wanted = FLAGS.get(platform.machine(), ())
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    flags = [line.partition(":")[2].split() for line in lines if line.lower().startswith(("flags", "features"))]
    if not flags or not wanted:
        return ok("processor", f"{platform.machine()}, instructions unknown")
    found = [flag for flag in wanted if flag in flags[0]]
    text = f"{platform.machine()} with {', '.join(found) or 'none of ' + ', '.join(wanted)}"
    if wanted[0] in found:
        return ok("processor", text)
    return warning("processor", text, f"scoring is faster on processors with {wanted[0]}")


def cores_check(cgroup: Path) -> Check:
    """Check the cores that this process may use, and a container's limit."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota(cgroup)
    if quota is not None and quota < 1:
        text = f"{cores}, limited to {quota:g}"
        return warning("cores", text, "give each process a whole core: below it, requests are throttled")
    return ok("cores", f"{cores}" + (f", limited to {quota:g}" if quota is not None else ", no limit"))


def cpu_quota(cgroup: Path) -> float | None:
    """CPU limit of the control group (version 2, else 1), cores; None: no limit."""
    if (two := cgroup / "cpu.max").exists():
        quota, period = two.read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    if (one := cgroup / "cpu" / "cpu.cfs_quota_us").exists():
        allowed = int(one.read_text())
        return None if allowed < 0 else allowed / int((one.parent / "cpu.cfs_period_us").read_text())
    return None


def memory_check(cgroup: Path) -> Check:
    """Check the memory of the machine, and a container's limit."""
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    for file in (cgroup / "memory.max", cgroup / "memory" / "memory.limit_in_bytes"):
        limit = file.read_text().strip() if file.exists() else "max"
        if limit.isdigit() and int(limit) / 2**30 < gib:
            return ok("memory", f"{gib:.1f} GiB, limited to {int(limit) / 2**30:.1f} GiB")
    return ok("memory", f"{gib:.1f} GiB, no limit")


def open_files_check(limit: int) -> Check:
    """Check the limit of open files and connections of a process."""
    if limit == resource.RLIM_INFINITY:
        return ok("open files", "no limit")
    if limit < OPEN_FILES:
        return warning("open files", f"at most {limit}", f"ulimit -n {OPEN_FILES}, or LimitNOFILE= of the service")
    return ok("open files", f"at most {limit}")
