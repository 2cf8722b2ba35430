"""The console's pages on a running system: what a user sees and does, without a browser."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from nicegui import ui
from nicegui.testing import User

from services.console.catalogue import Catalogue
from services.console.context import ConsoleContext
from services.kafka.connection import KafkaUnavailable
from services.store.memory import MemoryRowStore
from tests.contract.console_system import open_page, press, running_chain, running_system, sees
from tests.contract.live_chain import LiveChain
from tests.contract.rank_server import SCHEMA


@pytest.fixture(scope="module")
def chain() -> Iterator[LiveChain]:
    with running_chain() as chain:
        yield chain


@pytest.fixture
def system(chain: LiveChain, tmp_path: Path) -> Iterator[ConsoleContext]:
    with running_system(chain, tmp_path) as system:
        yield system


def at(system: ConsoleContext, path: str, does: Callable[[User], Awaitable[Any]]) -> Any:
    """Run a user's actions on a page."""

    async def visit() -> Any:
        async with open_page(system, path) as user:
            return await does(user)

    return asyncio.run(visit())


def charts(user: User) -> list[dict[str, Any]]:
    """Options of the charts on the page, from top to bottom."""
    return [chart.options for chart in sorted(user.find(ui.echart).elements, key=lambda chart: chart.id)]


@pytest.mark.parametrize("path", ["/", "/transfer", "/live", "/compare", "/health"])
def test_every_page_opens_and_links_to_the_others(system: ConsoleContext, path: str) -> None:
    async def look(user: User) -> None:
        await sees(user, "CrossRec console", "Rank", "Transfer", "Live", "Compare", "Health")

    at(system, path, look)


def test_a_ranking_shows_titles_contributions_and_shares(system: ConsoleContext) -> None:
    """The form is filled with known ids, so that the page opens with a ranking."""

    async def rank(user: User) -> None:
        await sees(user, "2 scenarios; candidates come from its 3 items")
        await sees(user, "Green tea", "Dust &lt;cloth&gt;", "Transfer weights", "affine/0", "no experiment")
        await sees(user, "Most of it from", "% of the score")
        (chart,) = charts(user)
        assert 3 == len(chart["baseOption"]["yAxis"]["data"])
        assert 2 == len(chart["baseOption"]["series"])

    at(system, "/", rank)


def test_pages_of_an_empty_store_open_without_an_answer_and_without_an_error(chain: LiveChain, tmp_path: Path) -> None:
    async def look(user: User, text: str) -> None:
        await sees(user, text)
        await user.should_not_see("Candidates: the online store")

    with running_system(chain, tmp_path) as system:
        empty = replace(system, catalogue=Catalogue(MemoryRowStore(), SCHEMA, age_s=0.0))
        at(empty, "/", lambda user: look(user, "Nothing is ranked yet"))
        at(empty, "/transfer", lambda user: look(user, "Nothing is shown yet"))
        at(empty, "/live", lambda user: look(user, "Nothing is published yet"))
        at(empty, "/compare", lambda user: look(user, "Nothing is compared yet"))


def test_an_incomplete_request_asks_for_the_missing_input(system: ConsoleContext) -> None:
    async def rank(user: User) -> None:
        await sees(user, "Rank for a user")
        user.find("User id").clear()
        await press(user, "Rank")
        await sees(user, "User: enter a user id")

    at(system, "/", rank)


def test_an_unknown_user_is_ranked_and_the_page_reports_it(system: ConsoleContext) -> None:
    async def rank(user: User) -> None:
        await sees(user, "Rank for a user")
        user.find("User id").clear().type("nobody")
        await press(user, "Rank")
        await sees(user, "Unknown user: the user has no features", "Green tea")

    at(system, "/", rank)


def test_an_unavailable_server_is_reported_and_the_page_stays_up(chain: LiveChain, tmp_path: Path) -> None:
    async def rank(user: User) -> None:
        await sees(user, "Rank for a user")
        await press(user, "Rank")
        await sees(user, "The ranking server at 127.0.0.1:9 is unavailable", "Rank for a user")

    with running_system(chain, tmp_path, ranking="127.0.0.1:9") as system:
        at(system, "/", rank)


def test_the_matrix_has_a_row_per_target_scenario(system: ConsoleContext) -> None:
    async def show(user: User) -> None:
        await sees(user, "Transfer between scenarios", "The same as a table")
        (chart,) = charts(user)
        assert [["shelf", "tv"], ["shelf", "tv"]] == [chart["yAxis"]["data"], chart["xAxis"]["data"]]
        assert 4 == len(chart["series"][0]["data"])

    at(system, "/transfer", show)


def test_a_published_event_changes_the_ranking(system: ConsoleContext, chain: LiveChain) -> None:
    """The event goes through the gateway and is folded, and the page shows the positions before and after."""
    stored = len(chain.gateway.publisher.stored)

    async def publish(user: User) -> None:
        await sees(user, "This is the ranking now", "Green tea")
        assert stored == len(chain.gateway.publisher.stored)
        await press(user, "Publish and watch")
        await sees(user, "Visible in Rank after", "has the event", "Before")

    at(system, "/live", publish)
    assert stored < len(chain.gateway.publisher.stored)


def test_without_permission_nothing_can_be_published(chain: LiveChain, tmp_path: Path) -> None:
    async def look(user: User) -> None:
        await sees(user, "This console is read-only")
        await user.should_not_see(kind=ui.button, content="Publish and watch")

    with running_system(chain, tmp_path, publish=False) as system:
        at(system, "/live", look)


def test_two_versions_are_compared_on_one_request(system: ConsoleContext) -> None:
    """One of them reverses the other's order."""

    async def compare(user: User) -> None:
        await sees(user, "Compare two models")
        await sees(user, "How alike they are", "-1.000", "3 of 3 items", "affine/0", "affine/1")

    at(system, "/compare", compare)


def test_health_shows_servers_consumers_models_and_skew(chain: LiveChain, tmp_path: Path) -> None:
    report = tmp_path / "skew.json"
    report.write_text(json.dumps({"features": [{"name": "item.price", "compared": 10, "different": 1}]}))

    async def look(user: User) -> None:
        await sees(user, "SERVING", "Stable, 1 consumer, 300 records, 2.5 s behind", "affine/1 to all")
        await sees(user, "schema_fingerprint", "item.price")

    with running_system(chain, tmp_path, skew=report) as system:
        at(system, "/health", look)


def test_an_unavailable_component_does_not_hide_the_rest_of_health(chain: LiveChain, tmp_path: Path) -> None:
    def no_groups() -> list[Any]:
        raise KafkaUnavailable("Kafka at 127.0.0.1:9 cannot be reached")

    async def look(user: User) -> None:
        await sees(user, "Kafka at 127.0.0.1:9 cannot be reached", "ranking server at 127.0.0.1:9 is unavailable")
        await sees(user, "affine/1 to all", "There is no report", "SERVING")

    with running_system(chain, tmp_path, ranking="127.0.0.1:9", groups=no_groups) as system:
        at(system, "/health", look)
