"""Liveness and readiness of a consumer, with reasons. Pure: updated by the consumer's thread, read by another."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from services.server.metrics_endpoint import HealthReport

LIVE_S = 300.0
"""Seconds without activity after which a consumer counts as hung: Kafka's limit between two polls."""

BUSY_S = 30.0
"""Seconds without activity after which it is not ready: it waits for a server that neither answers nor fails."""


@dataclass(frozen=True)
class FailureSeries:
    """Consecutive failures since the last success.

    Args:
        kinds: kinds of failure, like `store unavailable`, each once, the latest last.
        reason: reason of the latest failure.
        since_s: time of the first failure, seconds since 1970.
        failures: their number.
    """

    kinds: tuple[str, ...]
    reason: str
    since_s: float
    failures: int


class ConsumerHealth:
    """The state behind /live and /ready.

    Args:
        clock: seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._active_s = clock()
        self._assigned: Sequence[int] | None = None
        self._rebalancing_since_s: float | None = None
        self._stopping = False
        self._unassigned = ""
        self._stopped: Sequence[str] = ()
        self._expired: dict[int, int] = {}
        self.series: FailureSeries | None = None

    def on_activity(self) -> None:
        """The consumer made progress."""
        self._active_s = self._clock()

    def on_revoked(self) -> None:
        """Partitions were revoked; an assignment follows."""
        self._assigned, self._rebalancing_since_s = (), self._clock()

    def on_assigned(self, partitions: Sequence[int]) -> None:
        """Partitions were assigned; none are if the group has more members than partitions."""
        self._assigned, self._rebalancing_since_s = tuple(partitions), None
        self._unassigned = ""

    def on_unassigned(self, reason: str) -> None:
        """No partition is assigned, for this reason; empty: the group has more members than partitions."""
        self._unassigned = reason

    def on_stopped(self, reasons: Sequence[str]) -> None:
        """These partitions stand before a batch that cannot be read."""
        self._stopped = tuple(reasons)

    def on_expired(self, partition: int, records: int) -> None:
        """Records of a partition expired before they were folded: rows lack them until they are added."""
        self._expired = {**self._expired, partition: self._expired.get(partition, 0) + records}

    def on_failure(self, what: str, reason: str) -> None:
        """An attempt failed: begins a series of failures or continues it."""
        self.on_activity()
        old = self.series or FailureSeries((), "", self._clock(), 0)
        kinds = (*(kind for kind in old.kinds if kind != what), what)
        self.series = FailureSeries(kinds, reason, old.since_s, old.failures + 1)

    def on_recovered(self) -> FailureSeries | None:
        """An attempt succeeded; returns the series of failures that this ends."""
        old, self.series = self.series, None
        return old

    def on_stopping(self) -> None:
        """The consumer is stopping."""
        self._stopping = True

    def live(self) -> HealthReport:
        """Whether the process need not be restarted."""
        reasons = self._idle_reasons(LIVE_S)
        return HealthReport(not reasons, reasons, {})

    def ready(self) -> HealthReport:
        """Whether the consumer folds records, or would if there were any."""
        reasons = [*self._assignment_reasons(), *self._failure_reasons(), *self._idle_reasons(BUSY_S)]
        reasons += [*self._stopped, *self._loss_reasons()]
        if self._stopping:
            reasons.append("stopping")
        return HealthReport(not reasons, reasons, {"partitions": list(self._assigned or ())})

    def _assignment_reasons(self) -> list[str]:
        since_s, assigned = self._rebalancing_since_s, self._assigned
        if since_s is not None:
            return [f"rebalancing since {_iso_time(since_s)}"]
        if assigned is None:
            return ["no partitions assigned yet"]
        return [self._unassigned] if self._unassigned else []

    def _loss_reasons(self) -> list[str]:
        what = "records expired in Kafka before they were folded: add them with a backfill, then restart"
        return [f"partition {partition}: {count:,} {what}" for partition, count in sorted(self._expired.items())]

    def _idle_reasons(self, limit_s: float) -> list[str]:
        idle_s = self._clock() - self._active_s
        return [f"no activity for {idle_s:.0f} s"] if idle_s > limit_s else []

    def _failure_reasons(self) -> list[str]:
        series = self.series
        if series is None:
            return []
        return [f"{series.kinds[-1]} since {_iso_time(series.since_s)} ({series.failures} failures): {series.reason}"]


def _iso_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
