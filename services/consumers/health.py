"""Whether a consumer lives and folds, and if not, why. Pure: told what happens, asked from another thread."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from services.server.metrics_endpoint import HealthReport

LIVE_S = 300.0
"""Seconds without a sign of life after which a consumer counts as hung: Kafka's limit between two polls."""

BUSY_S = 30.0
"""Seconds without one after which it is not ready: waiting for a server that neither answers nor fails, or too slow."""


@dataclass(frozen=True)
class FailureSeries:
    """Failures in a row, since the last time that all went well.

    Args:
        kinds: what was wrong, like `store unavailable`, each once, the last one last.
        reason: of the last failure.
        since_s: of the first failure, seconds since 1970.
        tries: how many there were.
    """

    kinds: tuple[str, ...]
    reason: str
    since_s: float
    tries: int


class ConsumerHealth:
    """The state behind /live and /ready.

    Args:
        clock: seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen_s = clock()
        self._assigned: Sequence[int] | None = None
        self._rebalancing_since_s: float | None = None
        self._stopping = False
        self.series: FailureSeries | None = None

    def alive(self) -> None:
        """The consumer does something."""
        self._seen_s = self._clock()

    def revoked(self) -> None:
        """Partitions were taken away; an assignment follows."""
        self._assigned, self._rebalancing_since_s = (), self._clock()

    def assigned(self, partitions: Sequence[int]) -> None:
        """Partitions were given; none is right too, where the group has more members than partitions."""
        self._assigned, self._rebalancing_since_s = tuple(partitions), None

    def failed(self, what: str, reason: str) -> None:
        """Something is away: begins a series or goes on with it."""
        self.alive()
        old = self.series or FailureSeries((), "", self._clock(), 0)
        kinds = (*(kind for kind in old.kinds if kind != what), what)
        self.series = FailureSeries(kinds, reason, old.since_s, old.tries + 1)

    def recovered(self) -> FailureSeries | None:
        """All is well; returns the series that this ends."""
        old, self.series = self.series, None
        return old

    def stopping(self) -> None:
        """The consumer was told to stop."""
        self._stopping = True

    def live(self) -> HealthReport:
        """Whether the process is worth keeping."""
        reasons = self._silent(LIVE_S)
        return HealthReport(not reasons, reasons, {})

    def ready(self) -> HealthReport:
        """Whether the consumer folds, or would if there were records."""
        reasons = [*self._not_assigned(), *self._failing(), *self._silent(BUSY_S)]
        if self._stopping:
            reasons.append("stopping")
        return HealthReport(not reasons, reasons, {"partitions": list(self._assigned or ())})

    def _not_assigned(self) -> list[str]:
        since_s, assigned = self._rebalancing_since_s, self._assigned
        if since_s is not None:
            return [f"rebalancing since {_time(since_s)}"]
        return ["no partitions assigned yet"] if assigned is None else []

    def _silent(self, limit_s: float) -> list[str]:
        silent_s = self._clock() - self._seen_s
        return [f"no sign of life for {silent_s:.0f} s"] if silent_s > limit_s else []

    def _failing(self) -> list[str]:
        series = self.series
        if series is None:
            return []
        return [f"{series.kinds[-1]} since {_time(series.since_s)} ({series.tries} tries): {series.reason}"]


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
