"""The machine and package versions that figures were measured with."""

import os
import platform
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path


def machine() -> dict[str, str | int | None]:
    """Processor, cores and operating system."""
    return {"processor": _processor(), "cores": os.cpu_count(), "system": platform.platform()}


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Installed version of each package."""
    return {package: metadata.version(package) for package in packages}


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
