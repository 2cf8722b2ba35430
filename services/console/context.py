"""The console's context, shared by all pages, and the session of a browser tab."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from services.console.catalogue import Catalogue
from services.console.live import EventForm
from services.console.offline_ranker import OfflineRanker
from services.console.rank_form import RankForm
from services.console.servers import ServerConnections
from services.consumers.status import GroupStatus
from services.settings.load import Settings


@dataclass(frozen=True)
class ConsoleContext:
    """Everything that pages read from.

    Args:
        settings: settings of the console and of the system that it shows.
        servers: connections to ranking server and gateway.
        catalogue: names in the online store.
        offline_ranker: ranks with models of the registry.
        groups: reads the status of the consumer groups from Kafka; raises KafkaUnavailable.
        publish: whether events may be published.
        skew: report of `crossrec skew --json`; None: no report.
        clock: seconds since 1970.
    """

    settings: Settings
    servers: ServerConnections
    catalogue: Catalogue
    offline_ranker: OfflineRanker
    groups: Callable[[], Sequence[GroupStatus]]
    publish: bool = False
    skew: Path | None = None
    clock: Callable[[], float] = time.time


@dataclass
class Session:
    """A browser tab: the context, and the forms that its pages share."""

    context: ConsoleContext
    form: RankForm = field(default_factory=RankForm)
    event_form: EventForm = field(default_factory=EventForm)
