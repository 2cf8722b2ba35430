"""Prints one household's ranking: names, scores, shares of the source scenarios, and the effect of new events."""

import time
from collections.abc import Mapping

import numpy as np
from rich.console import Console
from rich.table import Table

from crossrec.events.v1 import events_pb2
from crossrec.ranking.v1 import ranking_pb2
from export.demo.compare import Impressions, build_rank_request
from export.harness.environment import HarnessError
from export.harness.stream import timestamp
from services.client import EventClient, RankingClient

SHOWN = 5
VISIBLE_WITHIN_S = 300.0


def show_household(
    console: Console,
    address: str,
    rows: Impressions,
    sources: list[str],
    titles: Mapping[str, str],
    names: Mapping[str, str],
) -> ranking_pb2.RankRequest:
    """Print a household's ranking in its two scenarios with the most impressions; returns the first request."""
    users, counts = np.unique(rows.user.astype(str), return_counts=True)
    user = users[counts.argmax()]
    members = np.flatnonzero(rows.user.astype(str) == user)
    targets, shown = np.unique(rows.target[members], return_counts=True)
    chosen = [sources[target] for target in targets[np.argsort(-shown)][:2]]
    requests = [build_rank_request(rows, members, scenario, explain=True) for scenario in chosen]
    with RankingClient(address, deadline_s=300) as client:
        replies = [client.send(request) for request in requests]
    for scenario, reply in zip(chosen, replies, strict=True):
        _print_ranking(console, f"Household {user} at {names[scenario]} ({scenario})", reply, titles)
    shares = Table("target scenario i", *sources, title="Shares of source scenario j in the transfer weights M[i,j]")
    for scenario, reply in zip(chosen, replies, strict=True):
        share = {row.scenario_id: row.share for row in reply.transfer_weights}
        shares.add_row(scenario, *(f"{share[source]:.1%}" for source in sources))
    console.print(shares)
    return requests[0]


def _print_ranking(console: Console, title: str, reply: ranking_pb2.RankResponse, titles: Mapping[str, str]) -> None:
    table = Table("rank", "product", "score R", "probability", "most of it from", title=title)
    for rank, item in enumerate(reply.items[:SHOWN], start=1):
        shares = [part.share for part in item.contributions]
        best = int(np.argmax(shares))
        largest = f"{reply.transfer_weights[best].scenario_id} {shares[best]:.0%}"
        name = titles.get(item.item_id, item.item_id)
        table.add_row(str(rank), name, f"{item.score:.3f}", f"{item.probability:.3f}", largest)
    console.print(table)


def show_fresh_event(
    console: Console,
    gateway: str,
    ranking: str,
    request: ranking_pb2.RankRequest,
    titles: Mapping[str, str],
    times: int,
) -> float:
    """Publish `times` purchases of the item ranked last and print its rank and score before and after.

    Returns:
        Median milliseconds from the call of Publish to the first answer of Rank that includes the event.
    """
    delays = []
    with EventClient(gateway) as events, RankingClient(ranking, deadline_s=300) as ranks:
        timed_request = ranking_pb2.RankRequest()
        timed_request.CopyFrom(request)
        start_s = request.request_time.ToMilliseconds() / 1000
        timed_request.request_time.CopyFrom(timestamp(start_s + 3600))
        before = ranks.send(timed_request)
        item = before.items[-1]
        for number in range(times):
            event = events_pb2.BehaviorEvent(
                user_id=timed_request.user_id,
                scenario_id=timed_request.scenario_id,
                type=events_pb2.EVENT_TYPE_PURCHASE,
                item_id=item.item_id,
                time=timestamp(start_s + 60 * (number + 1)),
            )
            delays.append(_publish_and_wait(events, ranks, event, timed_request))
        after = ranks.send(timed_request)
    place = {answer.item_id: rank for rank, answer in enumerate(after.items, start=1)}[item.item_id]
    score = after.items[place - 1].score
    console.print(
        f"Fresh events: {titles.get(item.item_id, item.item_id)} was ranked {len(before.items)} of "
        f"{len(before.items)} (score {item.score:.3f}); after {times} purchases it is {place} (score {score:.3f})."
    )
    return float(np.median(delays))


def _publish_and_wait(
    events: EventClient,
    ranks: RankingClient,
    event: events_pb2.BehaviorEvent,
    request: ranking_pb2.RankRequest,
) -> float:
    begin = time.perf_counter()
    [result] = events.publish([events_pb2.Entry(behavior_event=event)])
    if result.WhichOneof("result") != "accepted":
        raise HarnessError(f"a valid event was rejected: {result.rejected}")
    while time.perf_counter() - begin < VISIBLE_WITHIN_S:
        newest = ranks.send(request).freshness.newest_user_event
        if newest.ToMilliseconds() >= event.time.ToMilliseconds():
            return (time.perf_counter() - begin) * 1000
    raise HarnessError(f"an event was not visible to Rank within {VISIBLE_WITHIN_S:g} s")
