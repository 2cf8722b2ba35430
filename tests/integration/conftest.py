"""One real Kafka and one real Valkey for the whole session, in a temporary directory."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from services.infra.commands import Endpoints, InfraConfig, down, up

if TYPE_CHECKING:
    from tests.integration.consumer_harness import Stage


def pytest_configure(config: pytest.Config) -> None:
    # kafka-python loads its schemas through a function that Python 3.11 and 3.12 deprecate.
    config.addinivalue_line("filterwarnings", "ignore:(read|open)_text is deprecated:DeprecationWarning")
    # It leaves the socket of a refused connection to the garbage collector, encrypted ones too.
    config.addinivalue_line("filterwarnings", "ignore:unclosed <ssl.SSLSocket:ResourceWarning")
    unraised = "ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning"
    config.addinivalue_line("filterwarnings", unraised)


@pytest.fixture(scope="session")
def infra_config(tmp_path_factory: pytest.TempPathFactory) -> InfraConfig:
    return InfraConfig(tmp_path_factory.mktemp("infra"))


@pytest.fixture(scope="session")
def infra(infra_config: InfraConfig, started: list[Endpoints]) -> Iterator[Endpoints]:
    try:
        started.append(up(infra_config))
        yield started[0]
    finally:
        down(infra_config)


@pytest.fixture(scope="session")
def started() -> list[Endpoints]:
    """The session's infrastructure, once a test has started it."""
    return []


@pytest.fixture(scope="module", autouse=True)
def delete_topics(started: list[Endpoints]) -> Iterator[None]:
    """After each module: with the topics of a thousand tests, brokers and clients would take seconds for a request."""
    yield
    if not started:
        return
    from kafka.admin import KafkaAdminClient

    with KafkaAdminClient(bootstrap_servers=started[0].kafka_bootstrap) as admin:
        admin.delete_topics([topic for topic in admin.list_topics() if not topic.startswith("__")])


@pytest.fixture
def stage(infra: Endpoints, tmp_path: Path) -> "Iterator[Stage]":
    """Topics, a Feast project and consumer groups of the test's own."""
    # Imported here: it takes seconds, and most tests need none.
    from tests.integration.consumer_harness import staged

    with staged(infra, tmp_path) as stage:
        yield stage
