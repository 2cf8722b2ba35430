"""Fetched records of a paused partition: kafka-python keeps them aside, and may never give them back.

It takes them up again only while no other fetch is in hand, and takes one that was read to its end for one in hand.
What is kept aside is not fetched either, so the partition stands still for good.
"""

from typing import Any

from kafka.consumer.fetcher import Fetcher

_MARK = "_crossrec_returns_paused_fetches"


def return_paused_fetches() -> None:
    """Make kafka-python's consumers in this process take them up; once is enough, more is harmless."""
    forgetful = Fetcher.fetched_records
    if hasattr(forgetful, _MARK):
        return

    def fetched_records(fetcher: Any, *args: Any, **kwargs: Any) -> Any:
        if not fetcher._next_partition_records:
            fetcher._next_partition_records = None
        return forgetful(fetcher, *args, **kwargs)

    setattr(fetched_records, _MARK, True)
    Fetcher.fetched_records = fetched_records
