"""The ranking server of most contract tests."""

from collections.abc import Iterator

import pytest

from tests.contract.rank_server import RankServer, SwitchedStore, filled_store, running


@pytest.fixture
def store() -> SwitchedStore:
    """The rows of `filled_store`."""
    return filled_store()


@pytest.fixture
def server(store: SwitchedStore) -> Iterator[RankServer]:
    """A ranking server over the store."""
    with running(store) as server:
        yield server
