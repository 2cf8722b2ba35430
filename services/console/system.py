"""What the console looks at, wired once; and what a browser tab has chosen."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from services.console.catalogue import Catalogue
from services.console.choice import Choice
from services.console.live import Draft
from services.console.rivals import Rivals
from services.console.servers import Servers
from services.consumers.status import GroupStatus
from services.settings.load import Settings


@dataclass(frozen=True)
class System:
    """The running system.

    Args:
        settings: of the console, and so of what it looks at.
        servers: ranking server and gateway.
        catalogue: names.
        rivals: models to compare.
        groups: asks Kafka how the consumer groups stand; raises KafkaUnavailable.
        publish: whether events may be published.
        skew: report of `crossrec skew --json`; None: none was named.
        clock: seconds since 1970.
    """

    settings: Settings
    servers: Servers
    catalogue: Catalogue
    rivals: Rivals
    groups: Callable[[], Sequence[GroupStatus]]
    publish: bool = False
    skew: Path | None = None
    clock: Callable[[], float] = time.time


@dataclass
class Session:
    """A browser tab: the system, and the form that its pages share."""

    system: System
    choice: Choice = field(default_factory=Choice)
    draft: Draft = field(default_factory=Draft)
