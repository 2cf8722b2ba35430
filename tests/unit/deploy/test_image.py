"""The locks and the Dockerfile; tests/outside runs its steps."""

import re
from pathlib import Path

import pytest

from tests.outside.dockerfile import instructions, stage

ROOT = Path(__file__).resolve().parents[3]
PINNED = re.compile(r"^([a-z0-9._-]+)==([^ ;\\]+)( ; [^\\]+)?", re.MULTILINE)


def versions(lock: str) -> dict[tuple[str, str], str]:
    """Version by package and the condition under which it is installed."""
    text = (ROOT / "deploy" / "requirements" / lock).read_text()
    return {(name, marker.strip()): version for name, version, marker in PINNED.findall(text)}


@pytest.mark.parametrize("lock", ["serving.txt", "serving-cpu.txt", "serving-gpu.txt"])
def test_serving_has_no_training_packages(lock: str) -> None:
    """Neither torch nor the packages that it needs."""
    assert not {name for name, _ in versions(lock)} & {"torch", "scikit-learn", "lightgbm", "onnx", "matplotlib"}


@pytest.mark.parametrize("lock", ["serving.txt", "serving-cpu.txt", "serving-gpu.txt"])
def test_serving_reads_every_codec_of_kafka(lock: str) -> None:
    """A broker hands out what producers compressed, with whatever they chose."""
    assert {"python-snappy", "cramjam", "lz4", "zstandard"} <= {name for name, _ in versions(lock)}


def test_cpu_and_gpu_locks_have_the_same_onnx_runtime_version() -> None:
    """The CPU package has the version of the package for both."""
    cpu, both = versions("serving-cpu.txt"), versions("serving.txt")
    assert both["onnxruntime-gpu", ""] == cpu["onnxruntime", ""]
    assert "onnxruntime-gpu" not in {name for name, _ in cpu}


def test_the_gpu_lock_has_cuda_and_cudnn() -> None:
    """The libraries that ONNX Runtime's CUDA provider loads, from packages."""
    names = {name for name, _ in versions("serving-gpu.txt")}
    assert {"nvidia-cuda-runtime", "nvidia-cublas", "nvidia-cufft", "nvidia-curand", "nvidia-cudnn-cu13"} <= names


@pytest.mark.parametrize("target", ["serving", "training"])
def test_the_image_runs_the_program_without_root(target: str) -> None:
    """As a user by number, so that Kubernetes can see that it is not root, from a base image that can have a digest."""
    steps = instructions(ROOT)
    last = stage(steps, target)
    assert "10001:10001" == next(rest for word, rest in reversed(last) if word == "USER")
    assert re.search(r"ARG PYTHON_IMAGE=python:3\.11\.\d+-slim", "\n".join(map(" ".join, steps)))


def test_copied_paths_exist_and_are_not_ignored() -> None:
    """Every COPY out of the checkout exists, and Dockerfile.dockerignore lets it in."""
    let_in = {
        line[1:]
        for line in (ROOT / "deploy" / "Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = {
        rest.split()[0].rstrip("/") for word, rest in instructions(ROOT) if word == "COPY" and "--from" not in rest
    }
    assert let_in == copied
    assert all((ROOT / path).exists() for path in copied)


@pytest.mark.parametrize("target", ["serving", "training"])
def test_the_image_holds_licences(target: str) -> None:
    """Its own, and the notices of other people's packages, which the installation writes."""
    assert ("COPY", "LICENSE /opt/crossrec/LICENSE") in stage(instructions(ROOT), target)
    assert 'notices.py" "$target/THIRD_PARTY_NOTICES.txt"' in (ROOT / "deploy" / "install.sh").read_text()


def test_every_image_can_be_named_by_its_digest() -> None:
    """A tag may move; the defaults are tags, since nobody here could ask a registry."""
    compose = (ROOT / "deploy" / "compose.yaml").read_text()
    images = re.findall(r"^ +image: (.*)$", compose, re.MULTILINE)
    assert 5 == len(images)
    assert all(re.fullmatch(r"\$\{[A-Z]+_IMAGE:-[a-z/]+(:[a-z0-9.]+)?\}", image) for image in images)
    assert all(":latest" not in image for image in images)
    assert "FROM ${PYTHON_IMAGE}" in (ROOT / "deploy" / "Dockerfile").read_text()
