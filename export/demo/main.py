"""The demo's steps in order: import, replay, train, backfill, stream a week, rank the next, compare."""

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from crossrec.events.v1 import events_pb2
from export.datasets.completejourney.source import week_start_ms
from export.datasets.registry import import_dataset
from export.datasets.storage import DatasetReader
from export.demo.compare import AGREEMENT, ScoreComparison, compare_scores, impressions_at
from export.demo.show import show_fresh_event, show_household
from export.harness.environment import Environment, HarnessError
from export.harness.stream import ConsumerLagProbe, PublishResult, entries_between, publish_entries
from export.models.runs import read_run
from export.replay.backfill import fill_store
from export.replay.history import DatasetHistory, load_history
from export.replay.pipeline import ensure_encoder, replay_rows
from export.rows.reader import read_info
from export.training.run import train_run
from services.kafka.topics import create_topics, topic_specs
from services.settings.load import Settings, load_settings
from services.settings.terminal import open_console
from services.store.feast_registry import apply_definitions

DATASET = "completejourney"
STREAMED_WEEK, RANKED_WEEK = 52, 53
MODEL = "neural"
EPOCHS = 3
FRESH_EVENTS = 10
OFFLINE_USERS = 0.02


def run_demo(households: int, out: Path, stay: bool | None = None, *, kill_consumer: bool = False) -> int:
    """Run the demo; returns the exit status: 0 only if live and replayed scores agree.

    Args:
        households: households of Complete Journey to take.
        out: directory for everything; removed first.
        stay: keep the servers up at the end until interrupted; default: if standard output is a terminal.
        kill_consumer: kill the behaviour consumer with SIGKILL in the middle of the stream and start it again.
    """
    console = open_console()
    # Handled like an interrupt: the context manager below then stops every started process.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with Environment(out, DATASET, report=console.print) as environment:
        demo = Demo(console, environment, load_settings())
        console.print(f"Kafka and Valkey are up ({environment.started_in_s:.1f} s).")
        demo.prepare(households)
        demo.stream(kill_consumer=kill_consumer)
        agree = demo.rank()
        demo.write_summary()
        if sys.stdout.isatty() if stay is None else stay:
            demo.invite()
    return 0 if agree else 1


class Demo:
    """The steps of the demo; each adds its results to the summary."""

    def __init__(self, console: Console, environment: Environment, settings: Settings) -> None:
        self._console, self._environment, self._settings = console, environment, settings
        self._directory = environment.data / DATASET
        self._summary: dict[str, Any] = {"steps_s": {}}
        self._begin_s, self._end_s = (
            float(week_start_ms(np.array([week]))[0]) / 1000 for week in (STREAMED_WEEK, RANKED_WEEK)
        )
        self._model = Path()
        self._history: DatasetHistory

    def prepare(self, households: int) -> None:
        """Import, encode, replay, train, register views and topics, backfill to the streamed week."""
        settings = self._settings
        with self._step(f"import {households} households of Complete Journey"):
            import_dataset(DATASET, self._directory, households=households, seed=0)
        reader = DatasetReader(self._directory)
        self._console.print(f"  {reader.rows('events'):,} events. {reader.info['source'].get('notice', '')}")
        with self._step("build the text encoder on the catalogue"):
            ensure_encoder(settings, reader, lambda text: self._console.print(f"  {text}"))
        with self._step("replay the year into training rows") as report:
            replay_rows(settings, reader, self._directory / "rows", OFFLINE_USERS, report)
        with self._step(f"train and export the {MODEL} model"):
            run = read_run(
                train_run(
                    settings,
                    DATASET,
                    MODEL,
                    overrides={"epochs": EPOCHS},
                    log=lambda line: self._console.print(f"  {line}"),
                )
            )
        self._model = Path(run["registered"])
        self._summary["training"] = run.get("test", {}).get("all", {})
        with self._step(f"backfill the online store to the end of week {STREAMED_WEEK - 1}"):
            kafka = settings.kafka
            create_topics(kafka, topic_specs(kafka.topic_prefix, kafka.partitions))
            apply_definitions(settings)
            filled = fill_store(settings, reader.path, self._begin_s)
        self._console.print(
            f"  {filled.events:,} events, {sum(filled.rows.values()):,} rows in {len(filled.rows)} feature views"
        )
        self._history = load_history(reader, settings.features)
        with self._step("start gateway, consumers and ranking server"):
            self._environment.start_servers()

    def stream(self, *, kill_consumer: bool) -> None:
        """Publish the streamed week in time order and wait until the consumers have folded it."""
        entries = entries_between(self._history, self._settings.features, self._begin_s, self._end_s)
        invalid = events_pb2.Entry(behavior_event=events_pb2.BehaviorEvent(scenario_id="s0"))
        half = len(entries) // 2
        with self._step(f"publish week {STREAMED_WEEK}: {len(entries):,} events and updates") as report:
            published = publish_entries(self._environment.gateway_address, [*entries[:half], invalid])
            if kill_consumer:
                self._environment.processes.kill("consumer-behavior")
                self._environment.processes.start("consumer-behavior", "consume", "behavior")
            report(half, len(entries))
            rest = publish_entries(
                self._environment.gateway_address, entries[half:], lambda n: report(half + n, len(entries))
            )
        published.accepted += rest.accepted
        published.rejected += rest.rejected
        probe = ConsumerLagProbe(self._settings)
        with self._step("wait for the consumers") as report:
            probe.wait(self._environment.processes.check, lambda lag: report(len(entries) - lag, len(entries)))
            # The server may answer from cached rows of items and scenarios of this age; on a busy machine it does.
            time.sleep(max(self._settings.ranking.item_cache_age_s, self._settings.ranking.scenario_cache_age_s))
        dead_letters = probe.count_dead_letters()
        probe.close()
        self._record_stream(published, len(entries) + 1, dead_letters)

    def _record_stream(self, published: PublishResult, sent: int, dead_letters: int) -> None:
        folded = published.accepted - dead_letters
        self._summary |= {
            "events_sent": sent,
            "events_published": published.accepted,
            "events_rejected": len(published.rejected),
            "events_folded": folded,
            "dead_lettered": dead_letters,
        }
        self._console.print(f"  published {published.accepted:,}, folded {folded:,}, dead-lettered {dead_letters}")
        for rejected in published.rejected:
            self._console.print(f"  rejected as intended: {rejected.field}: {rejected.reason}")

    def rank(self) -> bool:
        """Rank the next week live, compare with the replay, print one household; True if the scores agree."""
        rows_dir, address = self._directory / "rows", self._environment.ranking_address
        rows, sources = impressions_at(rows_dir, self._end_s), read_info(rows_dir)["sources"]
        if not len(rows.label):
            raise HarnessError(f"no impressions in week {RANKED_WEEK}: take more households")
        with self._step(f"rank week {RANKED_WEEK}: {len(rows.label):,} impressions") as report:
            comparison = compare_scores(address, self._model / "model.onnx", rows, sources, report)
        titles = {item: state.title for item, state in self._history.items}
        names = {scenario: state.name for scenario, state in self._history.scenarios}
        request = show_household(self._console, address, rows, sources, titles, names)
        gateway = self._environment.gateway_address
        delay = show_fresh_event(self._console, gateway, address, request, titles, FRESH_EVENTS)
        self._summary["publish_to_visible_ms"] = round(delay, 1)
        self._console.print(f"From Publish until visible in Rank: {delay:.0f} ms (median of {FRESH_EVENTS}).")
        return self._record_comparison(comparison)

    def _record_comparison(self, comparison: ScoreComparison) -> bool:
        live, offline = map(comparison.quality, (comparison.live_probability, comparison.offline_probability))
        agree = comparison.difference_max <= AGREEMENT
        self._summary |= {
            "impressions": len(comparison.live),
            "degraded_answers": comparison.degraded,
            "score_difference_max": comparison.difference_max,
            "scores_agree": agree,
            **live,
            "offline_auc": offline["auc"],
            "offline_ndcg_at_10": offline["ndcg_at_10"],
        }
        for name, quality in (("live", live), ("replayed", offline)):
            self._console.print(f"{name:>9}: AUC {quality['auc']:.6f}, NDCG@10 {quality['ndcg_at_10']:.6f}")
        result = "agree" if agree else "DO NOT AGREE"
        self._console.print(f"Scores {result}: largest difference {comparison.difference_max:.2g}.")
        return agree

    def write_summary(self) -> None:
        """Write summary.json."""
        path = self._environment.out / "summary.json"
        path.write_text(json.dumps(self._summary, indent=2) + "\n")
        self._console.print(f"Summary in {path}")

    def invite(self) -> None:
        """Print an example request, and wait for an interrupt."""
        address, user = self._environment.ranking_address, self._history.requests.user[-1]
        items = '", "'.join(dict.fromkeys(self._history.requests.item[-5:]))
        request_time = datetime.fromtimestamp(self._end_s, UTC).isoformat().replace("+00:00", "Z")
        body = (
            f'{{"user_id": "{user}", "scenario_id": "s3", "item_ids": ["{items}"], '
            f'"request_time": "{request_time}", "options": {{"explain": true}}}}'
        )
        self._console.print("\nThe servers stay up; press Ctrl-C to stop. Try (grpcurl, server reflection is on):")
        call = f"  grpcurl -plaintext -d '{body}' {address} crossrec.ranking.v1.RankingService/Rank"
        self._console.print(call, soft_wrap=True, highlight=False)
        try:
            while True:
                self._environment.processes.check()
                time.sleep(1)
        except KeyboardInterrupt:
            self._console.print("stopping")

    @contextmanager
    def _step(self, title: str) -> Iterator[Callable[[float, float], None]]:
        begin = time.perf_counter()
        with Progress(console=self._console, transient=True, disable=not self._console.is_terminal) as progress:
            task = progress.add_task(title, total=None)
            yield lambda done, total: progress.update(task, completed=done, total=total)
        seconds = time.perf_counter() - begin
        self._summary["steps_s"][title] = round(seconds, 2)
        self._console.print(Text.assemble(("done", "green"), f" {title} ({seconds:.1f} s)"))
