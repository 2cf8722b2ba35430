"""Replays a data set's history up to each served request and computes the expected tensors.

Knows the replay and the encoding of features; knows nothing of Kafka or of the comparison.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from crossrec.ranking.v1.served_pb2 import ServedRanking
from export.monitoring.served_log import requested_at_s
from export.replay.history import DatasetHistory
from export.replay.replay import Replay
from export.rows.requests import LabelledRequests, read_feature_rows
from services.features.attributes import category_values
from services.features.encode import Tensors, encode
from services.features.feature_rows import encode_context
from services.features.item_vectors import ItemVectors
from services.features.schema import Schema
from services.store.columns import ColumnRowStore
from services.text.protocol import Encoder

OnTensors = Callable[[ServedRanking, Tensors], None]
VectorsOf = Callable[[str], Sequence[ItemVectors]]


def sources_of(record: ServedRanking) -> tuple[str, ...]:
    """The source scenarios, in the order of the tensors."""
    return tuple(weight.scenario_id for weight in record.answer.transfer_weights)


def items_of(record: ServedRanking) -> tuple[str, ...]:
    """The items whose features the record holds, in the order of the tensors."""
    return tuple(item.item_id for item in record.answer.items[: record.features.items])


def replay_requests(
    history: DatasetHistory,
    schema: Schema,
    encoder: Encoder,
    records: Sequence[ServedRanking],
    on_tensors: OnTensors,
    vectors_of: VectorsOf = lambda _: (),
) -> None:
    """Call `on_tensors` with each record and the tensors that the replay computes for its request, in order of time.

    `vectors_of` finds the item vectors of a model version, like neural/3.
    """
    ordered = sorted(records, key=requested_at_s)
    store = ColumnRowStore(schema)

    def on_requests(_: float, requests: LabelledRequests) -> None:
        for place in requests.request_id.tolist():
            record = ordered[place]
            rows = read_feature_rows(
                store, schema, encoder.fingerprint, sources_of(record), _candidates(schema, record)
            )
            on_tensors(record, encode(schema, rows, vectors=vectors_of(record.answer.model_version)))

    with_requests = replace(history, requests=_cut_times(schema, ordered))
    Replay(with_requests, schema, encoder, store).run(
        float(np.nextafter(requested_at_s(ordered[-1]), np.inf)), on_requests
    )


def _cut_times(schema: Schema, records: Sequence[ServedRanking]) -> LabelledRequests:
    """One row per record, so that the replay stops at its time; the rows' ids are indices into `records`."""
    context = np.zeros((len(records), len(schema.config.columns_of("context"))))
    nothing = np.full(len(records), "", object)
    return LabelledRequests(
        request_id=np.arange(len(records)).astype(object),
        user=nothing,
        scenario=nothing,
        item=nothing,
        label=np.zeros(len(records), np.int64),
        split=nothing,
        time_s=np.array([requested_at_s(record) for record in records]),
        context=context,
    )


def _candidates(schema: Schema, record: ServedRanking) -> LabelledRequests:
    """One row per item of the record."""
    items = items_of(record)
    count = len(items)
    categories = category_values(record.context.category_attributes)
    context = encode_context(schema.config, record.context.attributes, categories)

    def repeat(value: str) -> np.ndarray:
        return np.full(count, value, object)

    return LabelledRequests(
        request_id=repeat(record.answer_id),
        user=repeat(record.user_id),
        scenario=repeat(record.answer.scenario_id),
        item=np.array(items, object),
        label=np.zeros(count, np.int64),
        split=repeat(""),
        time_s=np.full(count, requested_at_s(record)),
        context=np.tile(context, (count, 1)),
    )
