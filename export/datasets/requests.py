"""Groups labelled rows into requests: those of one `request_id`, and rows without one by user, scenario and day.

Metrics of lists (NDCG, recall, reciprocal rank) compare the rows of a group. Knows columns; knows no metrics.
"""

import pyarrow as pa
import pyarrow.compute as pc

from services.features.ids import SEPARATOR

DAY_MS = 86_400_000
BY_DAY = f"day{SEPARATOR}"
"""Begins the ids of groups by day. No request of a user's data begins so: ids hold no control characters."""


def group_requests(events: pa.Table) -> pa.ChunkedArray:
    """The id of each row's group: its `request_id`, else one of its user, scenario and day (UTC)."""
    day = pc.divide(events["time"].cast(pa.int64()), DAY_MS).cast(pa.string())
    of_day = pc.binary_join_element_wise("day", events["user_id"], events["scenario_id"], day, SEPARATOR)
    return pc.if_else(pc.equal(pc.fill_null(events["request_id"], ""), ""), of_day, events["request_id"])


def drop_day_groups(requests: pa.ChunkedArray) -> pa.ChunkedArray:
    """The ids of groups, null where a row had no request of its own."""
    return pc.if_else(pc.starts_with(requests, BY_DAY), pa.scalar(None, pa.string()), requests)
