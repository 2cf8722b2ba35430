"""The ranking server that most contract tests ask."""

from collections.abc import Iterator

import pytest

from tests.contract.rank_server import RankServer, SwitchedStore, filled_store, running


@pytest.fixture
def store() -> SwitchedStore:
    """The history that `filled_store` tells."""
    return filled_store()


@pytest.fixture
def server(store: SwitchedStore) -> Iterator[RankServer]:
    """A server over the store."""
    with running(store) as server:
        yield server
