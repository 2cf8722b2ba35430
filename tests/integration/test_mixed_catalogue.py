"""A catalogue in Chinese and English through import, replay, training, streaming, ranking and the console."""

import json
import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient

from crossrec.events.v1.events_pb2 import BehaviorEvent, Entry, ItemUpdate, ScenarioUpdate
from crossrec.ranking.v1 import ranking_pb2
from export.datasets.storage import DatasetReader
from services.console.catalogue import Catalogue
from services.console.offline_ranker import open_offline_ranker
from services.consumers.main import consume
from services.features.schema import build_schema
from services.infra.commands import Endpoints
from services.settings.load import Settings, load_settings
from services.store.connect import open_rows, open_rows_for_batches
from services.text.encoder import open_encoder, read_encoder_info
from tests.integration.consumer_harness import TIMEOUT_S, Stage, folded
from tests.integration.test_multilingual_encoder import QUERIES
from tests.integration.test_own_data import run
from tests.synthetic.mixed_catalogue import CATALOGUE, ITEMS
from tests.unit.consumers.streams import timestamp
from tests.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

DAY_MS = 86_400_000
START_MS = 1_700_000_000_000
LIVE_S = START_MS / 1000 + 30 * 86_400
SCENARIOS = {"app": "手机应用首页", "web": "Website on a desktop"}
IDS = {f"i{number}": kind for number, (kind, _) in enumerate(ITEMS)}


def write_source(directory: Path) -> None:
    """Users ask for a kind in either language, are shown ten items, and like those of the kind."""
    draw = random.Random(0)
    directory.mkdir()
    early = {"time": START_MS - DAY_MS}
    scenarios = [{"scenario_id": name, **early, "name": name, "description": text} for name, text in SCENARIOS.items()]
    items = [{"item_id": f"i{number}", **early, "title": title} for number, (_, title) in enumerate(ITEMS)]
    events = []
    for user in range(300):
        kind = draw.choice(list(QUERIES))
        time = START_MS + user * DAY_MS // 15
        where = {"user_id": f"u{user}", "scenario_id": draw.choice(list(SCENARIOS))}
        events.append({**where, "type": "query", "text": draw.choice(QUERIES[kind]), "time": time})
        own = [item for item in IDS if IDS[item] == kind]
        for item in {*draw.sample(own, 2), *draw.sample(list(IDS), 8)}:
            row = {**where, "type": "impression", "item_id": item, "time": time + 60_000, "request_id": f"r{user}"}
            events.append({**row, "label": int(IDS[item] == kind)})
    for name, rows in (("scenarios", scenarios), ("items", items), ("events", events)):
        lines = (json.dumps(row, ensure_ascii=False) for row in rows)
        (directory / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def text_event(kind: str, user: str, text: str, item: str = "") -> Entry:
    return Entry(
        behavior_event=BehaviorEvent(
            event_id=f"{user}-{kind}",
            user_id=user,
            scenario_id="app",
            type=f"EVENT_TYPE_{kind.upper()}",
            item_id=item,
            text=text,
            time=timestamp(LIVE_S),
        )
    )


def catalogue_entries() -> list[Entry]:
    time = timestamp(LIVE_S - 86_400)
    scenarios = [
        Entry(scenario_update=ScenarioUpdate(scenario_id=name, time=time, name=name, description=text))
        for name, text in SCENARIOS.items()
    ]
    items = [
        Entry(item_update=ItemUpdate(item_id=f"i{number}", time=time, title=title))
        for number, (_, title) in enumerate(ITEMS)
    ]
    return [*scenarios, *items]


@contextmanager
def streaming(settings: Settings) -> Iterator[Stage]:
    """The consumers of texts in threads, with the encoder that the replay built."""
    kafka = settings.kafka.bootstrap_servers
    stop, store = threading.Event(), open_rows_for_batches(settings)
    workers = [
        threading.Thread(target=consume, args=(kind, settings, store, stop, lambda: open_encoder(settings.encoder_dir)))
        for kind in ("scenario", "item", "behavior")
    ]
    with ExitStack() as stack:
        producer = stack.enter_context(KafkaProducer(bootstrap_servers=kafka, acks="all"))
        admin = stack.enter_context(KafkaAdminClient(bootstrap_servers=kafka))
        for worker in workers:
            worker.start()
        try:
            yield Stage(settings, store, producer, admin)
        finally:
            stop.set()
            for worker in workers:
                worker.join(TIMEOUT_S)


def test_texts_in_two_languages_end_to_end(infra: Endpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Users who never clicked get what they asked for, in Chinese or in English; the console shows names and ranks."""
    for name, value in {
        "DATA_DIR": tmp_path / "data",
        "REGISTRY_DIR": tmp_path / "registry",
        "ENCODER_DIR": tmp_path / "encoder",
        "STORE__URL": infra.valkey_address,
        "STORE__PROJECT": "mixed_catalogue",
        "STORE__REGISTRY": tmp_path / "feast" / "registry.db",
        "STORE__OFFLINE_DIR": tmp_path / "offline",
        "KAFKA__BOOTSTRAP_SERVERS": infra.kafka_bootstrap,
        "KAFKA__TOPIC_PREFIX": "mixed",
        "GATEWAY__MAX_AGE_HALF_LIVES": 0,
        "RANKING__MODEL": "logistic",
    }.items():
        monkeypatch.setenv(f"CROSSREC_{name}", str(value))
    write_source(tmp_path / "source")
    run("import", "jsonl", "--source", str(tmp_path / "source"), "--out", str(tmp_path / "data" / "mine"))
    checked = " ".join(run("data", "check", "--data", "mine", "--all").split())
    assert "The multilingual encoder is taken" in checked
    replayed = " ".join(run("replay", "--data", "mine").split())
    assert "text encoder: multilingual; the English encoder does not read the texts; catalogue:" in replayed
    run("train", "--data", "mine", "--model", "logistic")
    run("setup")
    settings = load_settings("mine")
    offline = open_offline_ranker(settings)
    (version,) = [each for each in offline.versions() if each.startswith("logistic")]
    with streaming(settings) as stage:
        stage.send(catalogue_entries())
        wait_until(lambda: folded(stage, "item") and folded(stage, "scenario"))
        stage.send(
            [
                *(text_event("query", f"zh-{kind}", chinese) for kind, (chinese, _) in QUERIES.items()),
                *(text_event("query", f"en-{kind}", english) for kind, (_, english) in QUERIES.items()),
                text_event("comment", "critic", "这款纸尿裤很好 宝宝喜欢", "i0"),
            ]
        )
        wait_until(lambda: folded(stage, "behavior"))
    hits = 0
    for language in ("zh", "en"):
        for kind in CATALOGUE:
            request = ranking_pb2.RankRequest(user_id=f"{language}-{kind}", scenario_id="app", item_ids=IDS, top_k=5)
            request.request_time.FromMilliseconds(round(LIVE_S * 1000) + 60_000)
            reply = offline.rank(version, request)
            assert not reply.degraded
            hits += sum(IDS[each.item_id] == kind for each in reply.items)
    assert hits >= 80, "of the 100 items that were asked for"
    titles = Catalogue(open_rows(settings), build_schema(settings.features)).titles(list(IDS))
    assert [title for _, title in ITEMS] == [titles[item] for item in IDS]
    info = read_encoder_info(settings.encoder_dir)
    rows = json.loads((DatasetReader(settings.data_dir / "mine").path / "rows" / "training_rows.json").read_text())
    assert {"name": info.source, "languages": info.languages, "reason": info.reason} == rows["data"]["text_encoder"]
