"""Status of the system as tables: consumers by partition, and the served models."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.console.rank_form import format_time
from services.consumers.status import GroupStatus
from services.features.schema import build_schema
from services.registry.description import FIELDS_OF_ALL, ServerRequirements, list_fields, read_metrics
from services.registry.promotion import read_serving_state
from services.registry.reader import Registry
from services.registry.rollout import describe_rollout
from services.settings.load import Settings
from services.text.encoder import find_fingerprint


@dataclass(frozen=True)
class GroupView:
    """The consumers of one kind.

    Args:
        kind: kind of consumers.
        state: state of the group in Kafka.
        members: number of processes.
        lag: lag in records and seconds, as text.
        fine: whether the group has members and a lag below LATE_S.
        rows: partition, committed, end, lag in records, lag in seconds.
    """

    kind: str
    state: str
    members: int
    lag: str
    fine: bool
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class ServedModel:
    """The served models, and the output of `crossrec models show` for each version.

    Args:
        plan: the rollout, as text.
        versions: field and value by NAME/VERSION.
    """

    rollout: str
    versions: dict[str, Sequence[tuple[str, str]]]


LATE_S = 60.0
"""A lag above this is a problem, seconds."""


def group_views(groups: Sequence[GroupStatus]) -> list[GroupView]:
    """The consumer groups as tables."""
    return [
        GroupView(
            group.kind,
            group.state,
            len(group.members),
            f"{group.lag_records:,} records, {group.lag_s:,.1f} s",
            bool(group.members) and group.lag_s < LATE_S,
            [
                (
                    str(p.partition),
                    "-" if p.committed is None else f"{p.committed:,}",
                    f"{p.end:,}",
                    f"{p.lag_records:,}",
                    f"{p.lag_s:,.1f}",
                )
                for p in group.partitions
            ],
        )
        for group in groups
    ]


def served_model(settings: Settings) -> ServedModel:
    """The served models according to the registry. Raises CrossRecError."""
    registry = Registry(settings.registry_dir, settings.registry_cache_dir)
    encoder = find_fingerprint(settings.encoder_dir)
    server = ServerRequirements(build_schema(settings.features), encoder)
    rollout = read_serving_state(registry, settings.ranking.model).rollout
    versions: dict[str, Sequence[tuple[str, str]]] = {}
    for version in rollout.models:
        manifest = registry.manifest(version, FIELDS_OF_ALL)
        fit = server.fit(manifest, registry.sizes(version))
        versions[str(version)] = [("fits this server", fit), *list_fields(manifest, read_metrics(registry, version))]
    pinned = settings.ranking.version
    pin = f"; ranking.version pins {pinned} for servers with these settings" if pinned else ""
    return ServedModel(describe_rollout(rollout) + pin, versions)


def newest_event(newest_s: float, now_s: float) -> str:
    """Time of the newest event, and how long ago it was."""
    if not newest_s:
        return "no event is known"
    ago_s = max(0.0, now_s - newest_s)
    for unit, seconds in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if ago_s >= 2 * seconds:
            return f"{format_time(newest_s)} UTC, {ago_s / seconds:,.0f} {unit} ago"
    return f"{format_time(newest_s)} UTC, {ago_s:.0f} s ago"
