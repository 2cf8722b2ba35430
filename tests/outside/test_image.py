"""The serving image without a container engine: the Dockerfile's steps, one by one, in a clean folder."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.infra.commands import Endpoints, InfraConfig, down, up
from services.infra.ports import choose_port
from tests.outside.dockerfile import instructions, stage

ROOT = Path(__file__).resolve().parents[2]
INTERPRETER = Path(getattr(sys, "_base_executable", sys.executable))
LARGEST_MB = 1000


@dataclass(frozen=True)
class Image:
    """The content of the image.

    Args:
        opt: in place of /opt/crossrec.
        home: in place of /var/lib/crossrec; processes start there.
    """

    opt: Path
    home: Path

    def environment(self, **more: str) -> dict[str, str]:
        """All environment variables of a process."""
        return {"PATH": f"{self.opt}/bin:/usr/bin:/bin", "HOME": str(self.home), "MALLOC_ARENA_MAX": "1", **more}

    def run(self, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        where = {"cwd": self.home, "env": self.environment(**more)}
        return subprocess.run(
            [self.opt / "bin" / command[0], *command[1:]], **where, check=False, capture_output=True, text=True
        )

    @contextmanager
    def process(self, *command: str, **more: str) -> Iterator["subprocess.Popen[bytes]"]:
        """Run a command in the background; SIGTERM at the end."""
        where = {"cwd": self.home, "env": self.environment(**more)}
        with subprocess.Popen([self.opt / "bin" / command[0], *command[1:]], **where) as process:
            try:
                yield process
            finally:
                process.terminate()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """COPY and RUN of the stage whose result the serving image copies, with an empty environment."""
    folder = tmp_path_factory.mktemp("image")
    source, built = folder / "src", Image(folder / "opt", folder / "home")
    source.mkdir()
    built.home.mkdir()
    steps = instructions(ROOT)
    arguments = dict(rest.split("=") for word, rest in steps if word == "ARG")
    for word, rest in stage(steps, "program"):
        if word == "COPY":
            origin, target = rest.split()
            if (ROOT / origin).is_dir():
                shutil.copytree(ROOT / origin, source / target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                (source / target).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / origin, source / target)
        elif word == "RUN":
            command = re.sub(r"\$\{(\w+)\}", lambda found: arguments[found[1]], rest).replace(
                "/opt/crossrec", str(built.opt)
            )
            where = {"cwd": source, "env": {"PATH": "/usr/bin:/bin", "PYTHON": str(INTERPRETER)}}
            subprocess.run(["/bin/sh", "-c", command], **where, check=True)
    return built


@pytest.fixture(scope="module")
def infra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    config = InfraConfig(tmp_path_factory.mktemp("infra"))
    try:
        yield up(config)
    finally:
        down(config)


def test_it_is_small_and_without_torch(image: Image) -> None:
    """Below a gigabyte, compiled files included."""
    files = (file for file in image.opt.rglob("*") if file.is_file() and not file.is_symlink())
    assert sum(file.stat().st_size for file in files) / 1e6 < LARGEST_MB
    assert "None\n" == image.run("python", "-c", "import importlib.util as u; print(u.find_spec('torch'))").stdout


def test_only_the_cpu_provider_is_compiled_in(image: Image) -> None:
    """onnxruntime, not onnxruntime-gpu."""
    code = "import onnxruntime; print('CUDAExecutionProvider' in onnxruntime.get_available_providers())"
    assert "False\n" == image.run("python", "-c", code).stdout


def test_gateway_and_consumer_become_healthy(image: Image, infra: Endpoints) -> None:
    """Topics are created, both answer the probes of compose and chart, and both exit with 0."""
    listen, metrics = (f"127.0.0.1:{choose_port(0, None, ())}" for _ in range(2))
    where = {
        "CROSSREC_KAFKA__BOOTSTRAP_SERVERS": infra.kafka_bootstrap,
        "CROSSREC_STORE__URL": infra.valkey_address,
        "CROSSREC_GATEWAY__LISTEN": listen,
        "CROSSREC_CONSUMERS__METRICS_LISTEN": metrics,
    }
    assert 0 == image.run("crossrec", "setup", **where).returncode
    with (
        image.process("crossrec", "serve", "gateway", **where) as gateway,
        image.process("crossrec", "consume", "activity", **where) as consumer,
    ):
        for address in (listen, f"http://{metrics}/ready"):
            wait_until_healthy(image, address)
    assert (0, 0) == (gateway.returncode, consumer.returncode)


def test_ranking_reports_a_missing_encoder(image: Image, infra: Endpoints) -> None:
    """Without it the server does not start; every package that it imports is in the image."""
    run = image.run("crossrec", "serve", "ranking", CROSSREC_STORE__URL=infra.valkey_address)
    assert 1 == run.returncode
    assert "encoder_dir: no text encoder in data/encoder" in " ".join(run.stderr.split())


@pytest.mark.skipif(
    "CROSSREC_MODELS" not in os.environ, reason="CROSSREC_MODELS names no folder with registry/ and encoder/"
)
def test_ranking_becomes_healthy(image: Image, infra: Endpoints) -> None:
    """With a trained model, as compose mounts it."""
    listen, models = f"127.0.0.1:{choose_port(0, None, ())}", os.environ["CROSSREC_MODELS"]
    where = {
        "CROSSREC_STORE__URL": infra.valkey_address,
        "CROSSREC_RANKING__LISTEN": listen,
        "CROSSREC_REGISTRY_DIR": f"{models}/registry",
        "CROSSREC_ENCODER_DIR": f"{models}/encoder",
        **{name: value for name, value in os.environ.items() if name in ("CROSSREC_CONFIG", "CROSSREC_RANKING__MODEL")},
    }
    with image.process("crossrec", "serve", "ranking", **where) as ranking:
        wait_until_healthy(image, listen)
    assert 0 == ranking.returncode


def wait_until_healthy(image: Image, address: str, tries: int = 200) -> None:
    """Run the health check until it succeeds; each attempt waits by itself."""
    for _ in range(tries):
        answer = image.run("python", "-m", "services.server.health", address)
        if answer.returncode == 0:
            return
    pytest.fail(f"never healthy: {answer.stderr}")
