"""A seeded campaign of faults on real servers: in the end every row equals that of a replay without faults.

    python -m tests.chaos.campaign --seed 1

Events stream through a real Kafka into a real Valkey while consumers are killed and paused, servers are killed and
connections cut and delayed; then every row is compared with a replay of the same records by a single process.
Exits with 1 if a row differs or a process hangs, and prints the directory with all logs.
"""

import argparse
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock

from kafka.errors import KafkaError

from services.features.rows import Row
from services.kafka.record_source import Record
from services.server.logging import configure_logging
from services.store.memory import MemoryRowStore
from services.store.protocol import Key
from tests.chaos import compare
from tests.chaos.compare import Difference
from tests.chaos.faults import INJECT, KINDS, ON_A_CLUSTER, SERVERS, WITH_LOSSES, Fault, draw_faults
from tests.chaos.feeder import Feeder
from tests.chaos.rebuild import rebuild
from tests.chaos.system import PREFIX, CampaignFailed, System, start_system, wait_for
from tests.chaos.topics import read
from tests.chaos.workload import ITEMS, Shares, Workload
from tests.unit.consumers.streams import fold_catalogue, item_update

LEAVE_OUT = {"re-sends": "repeats", "late": "late", "erasures": "erasures"}
"""Parts of the workload that can be omitted, and the share that is then set to 0."""

BACKLOGS = 25
"""The consumers' backlog is limited to the number of events divided by this."""

AT_ONCE = 2
"""Most faults at the same time."""

CATCH_UP_S = 900.0
"""Longest wait for everything to be folded, seconds: after a loss it is everything once more."""

SHOWN = 20
"""Most differences that are printed."""

AGE_S = 60.0
"""Age of the newest event at the start of the campaign, seconds."""


@dataclass(frozen=True)
class Plan:
    """The options of a campaign: see the command's help."""

    seed: int = 1
    events: int = 200_000
    faults: int = 36
    behavior_consumers: int = 3
    activity_consumers: int = 2
    leave_out: frozenset[str] = frozenset()
    wait_replicas: int | None = None
    """The store is a cluster, and consumers wait for this many replicas; None: a single server."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of faults."""
        if self.wait_replicas is None:
            return KINDS
        return ON_A_CLUSTER if self.wait_replicas else WITH_LOSSES


@dataclass
class Report:
    """The results of a campaign."""

    plan: Plan
    faults: Counter[str] = field(default_factory=Counter)
    records: int = 0
    repeats: int = 0
    resent: int = 0
    late: int = 0
    erasures: int = 0
    rebuilds: int = 0
    dead_letters: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    erasure_marks: dict[Key, Row] = field(default_factory=dict)
    """Of the store at the last rebuild."""

    def __str__(self) -> str:
        lines = [
            f"seed              {self.plan.seed}",
            f"faults            {sum(self.faults.values())}: "
            + ", ".join(f"{count} {kind}" for kind, count in sorted(self.faults.items())),
            f"events            {self.plan.events}, {self.late} of them late, in {self.records} records",
            f"duplicates        {self.repeats} of the workload, {self.resent} sent again after failures",
            f"erasures          {self.erasures}",
            f"dead letters      {self.dead_letters}",
            f"rebuilds          {self.rebuilds}, after losses that consumers reported",
            f"rows compared     {sum(self.rows.values())}: "
            + ", ".join(f"{count} {view}" for view, count in self.rows.items()),
            f"differences       {len(self.differences)}",
            *(f"  {difference}"[:500] for difference in self.differences[:SHOWN]),
            f"duration          {sum(self.seconds.values()):.0f} s: "
            + ", ".join(f"{name} {seconds:.0f}" for name, seconds in self.seconds.items()),
        ]
        return "\n".join(lines)


def run(plan: Plan, directory: Path) -> Report:
    """Run a campaign; all logs and data are kept in `directory`. Raises CampaignFailed when a process hangs or dies."""
    report, clock = Report(plan), time.monotonic()

    def lap(name: str) -> None:
        nonlocal clock
        now = time.monotonic()
        report.seconds[name], clock = now - clock, now

    shares = Shares(**{LEAVE_OUT[what]: 0.0 for what in plan.leave_out})
    workload = Workload(plan.seed, plan.events, float(int(time.time() - AGE_S)), PREFIX, shares)
    updates = [item_update(item, attributes={}) for item in range(ITEMS)]
    waited = plan.wait_replicas
    with start_system(directory, plan.behavior_consumers, plan.activity_consumers, waited) as system:
        fold_catalogue(system.store, updates, compare.SCHEMA)
        for consumer in system.consumers.values():
            consumer.start()
        wait_for(system.is_complete, "the consumers to join", CATCH_UP_S)
        lap("start")
        feeder = Feeder(system, workload.records(), plan.events // BACKLOGS, "re-sends" in plan.leave_out)
        _inject_faults(system, plan, feeder, report)
        lap("faults")
        # The consumer killed last may still be starting, and would ignore the stop signal.
        _catch_up(system, report)
        lap("catching up")
        for consumer in system.consumers.values():
            consumer.stop()
        report.resent, report.repeats, report.late = feeder.resent, workload.repeats, workload.late
        report.erasures = len(workload.erased_s)
        expected = MemoryRowStore()
        fold_catalogue(expected, updates, compare.SCHEMA)
        _compare(system, feeder, expected, report)
        report.differences += compare.find_unerased(workload.erased_s, system.store)
        lap("comparison")
    return report


def _inject_faults(system: System, plan: Plan, feeder: Feeder, report: Report) -> None:
    """Send all records, and inject each fault when its number of records has been sent."""
    session_s = system.settings.consumers.session_timeout_ms / 1000
    faults = draw_faults(plan.seed, plan.faults, sorted(system.consumers), session_s, plan.events, plan.kinds)
    locks = {name: Lock() for name in (*system.consumers, *SERVERS)}
    # Faults may overlap, but not on the same target; servers are started one at a time.
    servers = Lock()

    def inject(fault: Fault) -> None:
        with servers if fault.target in SERVERS else locks[fault.target]:
            _log_progress(f"{feeder.sent} records sent: {fault.kind}: {fault.target}, {fault.seconds:.1f} s")
            INJECT[fault.kind](system, fault)
            report.faults[fault.kind] += 1

    feeder.start()
    running: list[Future[None]] = []

    def is_due(fault: Fault) -> bool:
        _raise_failures(feeder, running)
        if system.has_lost_rows() and all(future.done() for future in running):
            _rebuild(system, report)
        return feeder.sent >= fault.at and sum(not future.done() for future in running) < AT_ONCE

    def is_over() -> bool:
        _raise_failures(feeder, running)
        if system.has_lost_rows() and all(future.done() for future in running):
            _rebuild(system, report)
        return not feeder.is_alive() and all(future.done() for future in running)

    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for fault in faults:
                wait_for(partial(is_due, fault), "records to be sent", CATCH_UP_S)
                running.append(pool.submit(inject, fault))
            wait_for(is_over, "the rest to be sent", CATCH_UP_S)
    finally:
        feeder.stop()
        feeder.join()


def _raise_failures(feeder: Feeder, running: Sequence[Future[None]]) -> None:
    if feeder.error is not None:
        raise CampaignFailed(f"sending failed: {feeder.error!r}") from feeder.error
    for future in running:
        if future.done():
            future.result()


def _catch_up(system: System, report: Report) -> None:
    """Wait until all is committed; where consumers report lost rows, rebuild them as the production guide says."""

    def is_settled() -> bool:
        return system.is_complete() and (system.has_lost_rows() or _all_committed(system))

    wait_for(is_settled, "the groups to commit everything", CATCH_UP_S)
    while system.has_lost_rows():
        _rebuild(system, report)
        wait_for(is_settled, "the rows to be rebuilt", CATCH_UP_S)


def _rebuild(system: System, report: Report) -> None:
    _log_progress("rows are lost: stopping the consumers, rewinding, starting them")
    report.erasure_marks = rebuild(system)
    report.rebuilds += 1


def _all_committed(system: System) -> bool:
    system.check()
    try:
        return all(system.committed(kind) == system.end(kind) for kind in ("behavior", "activity"))
    except (KafkaError, OSError):
        return False


def _compare(system: System, feeder: Feeder, expected: MemoryRowStore, report: Report) -> None:
    settings, found = system.settings, report.differences
    bootstrap = settings.kafka.bootstrap_servers
    records = read(bootstrap, f"{PREFIX}.behavior")
    found += _missing_records(feeder.values, records)
    expected.rows["erased_user"].update(report.erasure_marks)
    dead_letters = compare.replay(settings, records, expected)
    newest = compare.newest_positions(settings.kafka.topic_epoch, read(bootstrap, f"{PREFIX}.activity"))
    found += compare.find_differences(expected, system.store, newest)
    once = not report.rebuilds  # a rewind sets the same records aside again
    found += compare.compare_dead_letters(dead_letters, read(bootstrap, compare.DEAD_LETTERS), once=once)
    stored = compare.row_counts(system.store_addresses())
    for view in (*compare.USER_VIEWS, *compare.ACTIVITY_VIEWS):
        report.rows[view] = len(expected.rows[view])
        if stored[view] != report.rows[view]:
            found.append(Difference(view, (), "number of rows", report.rows[view], stored[view]))
    report.records, report.dead_letters = len(records), len(dead_letters)


def _missing_records(sent: set[bytes], records: Sequence[Record]) -> list[Difference]:
    """Records that Kafka confirmed and does not hold."""
    missing = len(sent - {record.value or b"" for record in records})
    return [Difference("behavior", (), "missing confirmed records", 0, missing)] if missing else []


def _log_progress(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")


def _options() -> tuple[Plan, Path]:
    parser = argparse.ArgumentParser(description="Inject faults, and compare every row with a replay.")
    default = Plan()
    parser.add_argument("--seed", type=int, default=default.seed, help="seed of workload and faults")
    parser.add_argument("--events", type=int, default=default.events, help="distinct behaviour events")
    parser.add_argument(
        "--faults", type=int, default=default.faults, help="number of faults; at least one of every kind"
    )
    parser.add_argument("--behavior", type=int, default=default.behavior_consumers, help="behaviour consumers")
    parser.add_argument("--activity", type=int, default=default.activity_consumers, help="activity consumers")
    parser.add_argument(
        "--leave-out", choices=sorted(LEAVE_OUT), nargs="*", default=[], help="parts of the workload to omit"
    )
    parser.add_argument("--cluster", action="store_true", help="a store of three primaries and three replicas")
    parser.add_argument("--wait-replicas", type=int, default=1, help="0: rows are lost, reported, rebuilt")
    parser.add_argument("--directory", type=Path, help="directory for data and logs; default: a new one")
    chosen = parser.parse_args()
    left_out, waited = frozenset(chosen.leave_out), chosen.wait_replicas if chosen.cluster else None
    plan = Plan(chosen.seed, chosen.events, chosen.faults, chosen.behavior, chosen.activity, left_out, waited)
    return plan, chosen.directory or Path(tempfile.mkdtemp(prefix=f"crossrec-chaos-{plan.seed}-"))


def main() -> int:
    """Run a campaign with the command's options; the exit status is 0 if no row differs."""
    # Ending the campaign also ends its servers and consumers.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    plan, directory = _options()
    directory.mkdir(parents=True, exist_ok=True)
    _log_progress(f"data and logs in {directory}")
    try:
        with (directory / "campaign.log").open("a") as log:
            # Kafka's client logs many lines about servers that are killed on purpose.
            configure_logging(stream=log)
            report = run(plan, directory)
    except CampaignFailed as error:
        sys.stdout.write(f"seed {plan.seed}: {error}\nlogs in {directory}\n")
        return 1
    sys.stdout.write(f"{report}\n")
    if report.differences:
        sys.stdout.write(f"logs in {directory}\n")
    return int(bool(report.differences))


if __name__ == "__main__":
    sys.exit(main())
