"""Joins events to answers by attribution token: one row per shown item.

An item counts as shown, once, if any event on it (impression or other) carries the answer's token. Pure; knows nothing
of Kafka or metrics.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossrec.ranking.v1.served_pb2 import ServedRanking
from export.monitoring.served_log import ObservedEvent
from services.ranking.attribution import InvalidAttributionToken, parse_attribution_token

AnswerGroup = tuple[str, str, str]
"""Target scenario, model, arm."""


@dataclass(frozen=True)
class ShownItems:
    """Shown items as columns [R], and the number of answers per group.

    Args:
        group: [R] index into `groups` of the answer's scenario, model and arm.
        user: [R] index of the user, over all groups.
        answer: [R] index of the answer.
        position: [R] position of the item in the answer, from 0.
        probability: [R] predicted probability in the answer.
        label: [R] 1 if an outcome followed.
        groups: groups of the answers, sorted.
        answers: [G] answers per group, shown or not.
        unmatched: number of events whose token matched no answer, by reason.
    """

    group: NDArray[np.int64]
    user: NDArray[np.int64]
    answer: NDArray[np.int64]
    position: NDArray[np.int64]
    probability: NDArray[np.float64]
    label: NDArray[np.int64]
    groups: list[AnswerGroup]
    answers: NDArray[np.int64]
    unmatched: dict[str, int]


def join_events(
    answers: Sequence[ServedRanking], events: Iterable[ObservedEvent], outcomes: Collection[str]
) -> ShownItems:
    """Join events on items to answers; event types in `outcomes` label an item 1."""
    by_id = {answer.answer_id: answer for answer in answers}
    labels, unmatched = dict[tuple[str, str], int](), Counter[str]()
    for event in events:
        if not event.token or not event.item:
            continue
        answer = _find_answer(event, by_id)
        if isinstance(answer, str):
            unmatched[answer] += 1
            continue
        key = answer.answer_id, event.item
        labels[key] = max(labels.get(key, 0), int(event.kind in outcomes))
    return _columns(by_id, labels, dict(unmatched))


def group_of(answer: ServedRanking) -> AnswerGroup:
    """The group that an answer is counted in."""
    return answer.answer.scenario_id, answer.answer.model_version, answer.answer.experiment_arm


def _find_answer(event: ObservedEvent, by_id: dict[str, ServedRanking]) -> ServedRanking | str:
    """The answer that showed the item, or the reason why there is none."""
    try:
        answer = by_id.get(parse_attribution_token(event.token).answer_id)
    except InvalidAttributionToken:
        return "invalid token"
    if answer is None:
        return "answer not in the log"
    if answer.user_id != event.user:
        return "another user's token"
    if all(item.item_id != event.item for item in answer.answer.items):
        return "item not in the answer"
    return answer


def _columns(
    by_id: dict[str, ServedRanking], labels: dict[tuple[str, str], int], unmatched: dict[str, int]
) -> ShownItems:
    groups = sorted({group_of(answer) for answer in by_id.values()})
    group, answer_at = {key: n for n, key in enumerate(groups)}, {key: n for n, key in enumerate(by_id)}
    users: dict[str, int] = {}
    rows = []
    for (answer_id, item), label in labels.items():
        answer = by_id[answer_id]
        position, ranked = next((n, line) for n, line in enumerate(answer.answer.items) if line.item_id == item)
        user = users.setdefault(answer.user_id, len(users))
        rows.append((group[group_of(answer)], user, answer_at[answer_id], position, label, ranked.probability))
    numbers = np.array([row[:-1] for row in rows], np.int64).reshape(len(rows), 5)
    answers = np.bincount([group[group_of(answer)] for answer in by_id.values()], minlength=len(groups))
    return ShownItems(
        group=numbers[:, 0],
        user=numbers[:, 1],
        answer=numbers[:, 2],
        position=numbers[:, 3],
        probability=np.array([row[-1] for row in rows], np.float64),
        label=numbers[:, 4],
        groups=groups,
        answers=answers.astype(np.int64),
        unmatched=unmatched,
    )
