"""What the scale benchmark makes of logs, of /proc, and of what it measured."""

import json
import os
from typing import Any

import pytest

from services.features.config import FeatureConfig
from services.features.schema import build_schema
from tests.bench.scale import CANDIDATES, compare_growth, memory_bytes_of, shop_requests, warm_up_s
from tests.bench.scale_rows import SyntheticShop


def read_event(items: int, *, complete: bool) -> str:
    return json.dumps({"event": "items_read", "items": items, "complete": complete, "took_s": 1.5})


def test_the_server_says_how_long_it_read_items() -> None:
    lines = ["not an event", json.dumps({"event": "model_checked"}), read_event(7, complete=True)]
    assert warm_up_s(lines, 7) == 1.5


@pytest.mark.parametrize(
    "lines", [[], [read_event(7, complete=False)], [read_event(6, complete=True)]], ids=["none", "incomplete", "fewer"]
)
def test_a_server_that_has_not_read_all_items_is_not_measured(lines: list[str]) -> None:
    with pytest.raises(RuntimeError, match="has not read 7 items"):
        warm_up_s(lines, 7)


def figures(items: int, **measured: float) -> dict[str, Any]:
    return {"items": items, "p50_ms": 2.0, "p99_ms": 4.0, "cpu_ms_per_request": 1.0, **measured}


def test_growth_is_memory_per_item_more_and_ratios_of_times() -> None:
    small = figures(1_000, rss_bytes=500_000, rss_peak_bytes=600_000)
    large = figures(11_000, p50_ms=2.5, rss_bytes=6_500_000, rss_peak_bytes=7_600_000)
    expected = {
        "p50_ms_ratio": 1.25,
        "p99_ms_ratio": 1.0,
        "cpu_ms_per_request_ratio": 1.0,
        "bytes_per_item": 600.0,
        "peak_bytes_per_item": 700.0,
    }
    assert expected == compare_growth(small, large)


def test_shops_of_as_many_items_say_nothing_of_memory_per_item() -> None:
    same = figures(1_000, rss_bytes=500_000, rss_peak_bytes=600_000)
    assert {"p50_ms_ratio", "p99_ms_ratio", "cpu_ms_per_request_ratio"} == compare_growth(same, same).keys()


def test_memory_is_that_of_the_process() -> None:
    assert 0 < memory_bytes_of(os.getpid(), "VmRSS") <= memory_bytes_of(os.getpid(), "VmHWM")


def test_requests_are_of_users_and_distinct_items_of_the_shop() -> None:
    shop = SyntheticShop(build_schema(FeatureConfig()), items=300, users=2)
    asked = shop_requests(shop, 20)
    assert {len(set(request.item_ids)) for request in asked} == {CANDIDATES}
    assert {request.user_id for request in asked} == {"user-0000000", "user-0000001"}
    assert all(item <= "item-0000299" for request in asked for item in request.item_ids)
    assert asked == shop_requests(shop, 20)
