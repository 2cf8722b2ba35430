"""The input: a seeded stream of records with all irregularities of at-least-once delivery.

Repeats stay within the event ids that a row keeps; repeats and late events may be from before an erasure.
Users engage with few items, so that no table overflows: evictions from a full table depend on batches.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from crossrec.events.v1.events_pb2 import BehaviorEvent, Entry, UserErasure
from services.events.codec import encode
from services.events.routing import route_entry
from services.features.config import DAY_S
from services.features.event_types import EVENT_TYPES
from services.kafka.publisher import OutgoingRecord
from tests.unit.consumers.streams import WORDS, timestamp

SPAN_S = 10 * DAY_S
LATE_S = (DAY_S, 5 * DAY_S)
ITEMS, ITEMS_PER_USER, SCENARIOS = 60, 10, 4
EVENTS_PER_USER = 100
REPEAT_WITHIN = 40
"""Most events of a user between an event and its repeat."""


@dataclass(frozen=True)
class Shares:
    """Probabilities of irregularities, per event."""

    repeats: float = 0.02
    late: float = 0.02
    erasures: float = 0.0005
    poison: float = 0.001


@dataclass
class Workload:
    """The stream, and counts of its irregularities so far.

    Args:
        seed: seed of all random numbers.
        count: distinct behaviour events.
        end_s: newest event time, seconds since 1970.
        prefix: of topic names.
        shares: probabilities of irregularities.
    """

    seed: int
    count: int
    end_s: float
    prefix: str
    shares: Shares = field(default_factory=Shares)
    repeats: int = 0
    late: int = 0
    poison: int = 0
    erased_s: dict[str, float] = field(default_factory=dict)

    def records(self) -> Iterator[OutgoingRecord]:
        """Every record in the order of sending; repeats, erasures and poison come on top of `count` events."""
        random = np.random.default_rng(self.seed)
        users = max(self.count // EVENTS_PER_USER, 20)
        tastes = random.integers(0, ITEMS, (users, ITEMS_PER_USER))
        due: dict[int, list[tuple[str, int, OutgoingRecord]]] = defaultdict(list)
        sent: dict[str, int] = defaultdict(int)
        for number in range(self.count):
            user = int(random.integers(0, users))
            name = f"u{user}"
            record = self._record(self._event(random, number, name, tastes[user]))
            sent[name] += 1
            yield record
            if random.random() < self.shares.repeats:
                lag = int(random.integers(1, max(2, users * REPEAT_WITHIN // 2)))
                due[number + lag].append((name, sent[name], record))
            for whose, at, again in due.pop(number, ()):
                if sent[whose] - at < REPEAT_WITHIN:
                    self.repeats += 1
                    yield again
            if random.random() < self.shares.erasures:
                yield self._erasure(random, number, users)
            if random.random() < self.shares.poison:
                self.poison += 1
                yield OutgoingRecord(
                    f"{self.prefix}.behavior", b"poison", record.partition_key, b"\xff\x00%d" % number, []
                )

    def _event(self, random: np.random.Generator, number: int, user: str, taste: np.ndarray) -> Entry:
        time_s = self.end_s - SPAN_S + SPAN_S * number / self.count
        if random.random() < self.shares.late:
            time_s -= random.uniform(*LATE_S)
            self.late += 1
        kind = EVENT_TYPES[random.integers(0, len(EVENT_TYPES))]
        event = BehaviorEvent(
            event_id=f"{self.seed}-{number}",
            user_id=user,
            scenario_id=f"s{random.integers(0, SCENARIOS)}",
            type=f"EVENT_TYPE_{kind.upper()}",
            time=timestamp(time_s),
        )
        if kind != "query":
            event.item_id = f"i{random.choice(taste)}"
        if kind in {"purchase", "rating"}:
            event.value = float(np.round(random.uniform(1, 9), 2))
        if kind in {"query", "comment"}:
            event.text = " ".join(random.choice(WORDS, 3))
        return Entry(behavior_event=event)

    def _erasure(self, random: np.random.Generator, number: int, users: int) -> OutgoingRecord:
        user = f"u{random.integers(0, users)}"
        time_s = self.end_s - SPAN_S + SPAN_S * number / self.count
        self.erased_s[user] = time_s
        erasure = UserErasure(event_id=f"erase-{self.seed}-{number}", user_id=user, time=timestamp(time_s))
        return self._record(Entry(user_erasure=erasure))

    def _record(self, entry: Entry) -> OutgoingRecord:
        route = route_entry(entry)
        value, headers = encode(entry)
        return OutgoingRecord(f"{self.prefix}.{route.suffix}", route.key, route.partition_key, value, headers)
