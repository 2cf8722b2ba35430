"""The console on a running system in one process, and a user on its pages, without a browser."""

import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import numpy as np
from nicegui import ui
from nicegui.testing import User
from nicegui.testing.user_simulation import user_simulation

from crossrec.events.v1 import events_pb2
from services.console.catalogue import Catalogue
from services.console.context import ConsoleContext
from services.console.offline_ranker import OfflineRanker
from services.console.pages.frame import build_tab
from services.console.servers import ServerConnections
from services.consumers.status import GroupMember, GroupStatus, PartitionStatus
from services.features.encode import Tensors
from services.load.target import Target
from services.ranking.cache.row_sources import open_row_sources
from services.ranking.model.ab_split import FixedModel
from services.ranking.pipeline import Ranker
from services.registry.model import Scores, ScoringModel
from services.registry.reader import Registry, Version
from services.settings.load import Settings
from services.store.memory import MemoryRowStore
from tests.contract import live_chain
from tests.contract.live_chain import AffineModel, LiveChain, event, item, scenario
from tests.contract.rank_server import ENCODER, NOW_S, SCHEMA

ITEMS = {"tea": "Green tea", "milk": "Whole milk", "dust": "Dust <cloth>"}
GROUPS = [
    GroupStatus(
        "behavior",
        "crossrec-behavior",
        "crossrec.behavior",
        "Stable",
        [GroupMember("a", "127.0.0.1", [0])],
        [PartitionStatus(0, 1200, 1500, 300, 2.5)],
    )
]


class Reversed(AffineModel):
    """Reverses the order of the other model."""

    version = "affine/1"

    def score(self, tensors: Tensors, target: np.ndarray, left_s: float = 0.0) -> Scores:
        scores = super().score(tensors, target, left_s)
        preference = 1 - scores.preference
        score = preference @ scores.transfer
        return Scores(preference, scores.transfer, score, score / scores.transfer.sum())


class Folded(ServerConnections):
    """Servers whose events are folded immediately, where consumers would fold them a little later."""

    def __init__(self, chain: LiveChain, ranking: str, gateway: str) -> None:
        super().__init__(Target(ranking, deadline_s=300), Target(gateway, deadline_s=300))
        self._chain = chain

    def publish(self, event: events_pb2.BehaviorEvent) -> str:
        made = super().publish(event)
        self._chain.follow()
        return made


@contextmanager
def running_chain() -> Iterator[LiveChain]:
    """Two scenarios, three items with titles, and two users."""
    with live_chain.running() as chain:
        chain.publish(
            scenario("shelf", "bought in the store aisle"),
            scenario("tv", "watched at home in the evening"),
            *(item(name, title) for name, title in ITEMS.items()),
            event("click", "shelf", "tea"),
            event("click", "tv", "milk", user_id="bob"),
        )
        yield chain


@contextmanager
def running_system(
    chain: LiveChain,
    directory: Path,
    *,
    publish: bool = True,
    ranking: str = "",
    skew: Path | None = None,
    groups: Callable[[], Sequence[GroupStatus]] = lambda: GROUPS,
) -> Iterator[ConsoleContext]:
    """The console's view of the chain; `ranking` is an address to ask instead of its server."""
    servers = Folded(chain, ranking or chain.server.built.address, chain.gateway.built.address)
    settings = Settings(registry_dir=registered(directory), encoder_dir=directory, ranking={"model": "affine"})
    catalogue = Catalogue(chain.store, SCHEMA, age_s=0.0)
    try:
        yield ConsoleContext(
            settings, servers, catalogue, offline_ranker(chain.store, settings), groups, publish, skew, lambda: NOW_S
        )
    finally:
        servers.close()


def registered(directory: Path) -> Path:
    """A registry with two versions of a model, manifests alone."""
    for number in (0, 1):
        version = directory / "registry" / "affine" / str(number)
        version.mkdir(parents=True, exist_ok=True)
        about = {"format": 1, "name": "affine", "version": number, "schema_fingerprint": SCHEMA.fingerprint}
        about |= {
            "encoder_fingerprint": ENCODER,
            "features": {},
            "tensors": {},
            "files": {"model.onnx": {"bytes": 0, "sha256": ""}},
        }
        (version / "manifest.json").write_text(json.dumps(about))
    return directory / "registry"


def offline_ranker(store: MemoryRowStore, settings: Settings) -> OfflineRanker:
    """Both versions, over the rows of the store."""

    def load(version: Version) -> ScoringModel:
        return [AffineModel, Reversed][version.number]()

    def open_ranker(model: ScoringModel) -> Ranker:
        rows = open_row_sources(store, SCHEMA, ENCODER, 1000, 0.0, 0.0, max_scenarios=64)
        return Ranker(SCHEMA, rows, FixedModel(model), clock=lambda: NOW_S)

    return OfflineRanker(Registry(settings.registry_dir), settings.ranking.model, load, open_ranker)


@asynccontextmanager
async def open_page(system: ConsoleContext, path: str = "/") -> AsyncIterator[User]:
    """A user who has opened a page."""
    async with user_simulation(lambda: build_tab(system)) as user:
        await user.open(path)
        yield user


async def press(user: User, button: str) -> None:
    """Press a button by its text."""
    for element in user.find(kind=ui.button, content=button).elements:
        await wait_on_page(user, lambda: element.enabled)  # noqa: B023 - awaited here
    user.find(kind=ui.button, content=button).click()


async def sees(user: User, *texts: str) -> None:
    """Wait until the page shows each text."""
    for text in texts:
        await user.should_see(text, retries=300)


async def wait_on_page(user: User, condition: Callable[[], bool]) -> None:
    """Run the page until a condition holds."""
    import asyncio

    while not condition():
        await asyncio.sleep(0.01)
    del user
