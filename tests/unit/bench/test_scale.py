"""The scale benchmark's reading of logs, results and requests."""

import json
from typing import Any

import pytest

from services.features.config import FeatureConfig
from services.features.schema import build_schema
from tests.bench.scale import CANDIDATES, compare_growth, shop_requests, warm_up_s
from tests.bench.scale_rows import SyntheticShop


def read_event(items: int, *, complete: bool) -> str:
    return json.dumps({"event": "items_read", "items": items, "complete": complete, "took_s": 1.5})


def test_warm_up_seconds_are_read_from_the_log() -> None:
    lines = ["not an event", json.dumps({"event": "model_checked"}), read_event(7, complete=True)]
    assert warm_up_s(lines, 7) == 1.5


@pytest.mark.parametrize(
    "lines", [[], [read_event(7, complete=False)], [read_event(6, complete=True)]], ids=["none", "incomplete", "fewer"]
)
def test_an_incomplete_warm_up_is_rejected(lines: list[str]) -> None:
    with pytest.raises(RuntimeError, match="has not read 7 items"):
        warm_up_s(lines, 7)


def shop_results(items: int, **measured: float) -> dict[str, Any]:
    return {"items": items, "p50_ms": 2.0, "p99_ms": 4.0, "cpu_ms_per_request": 1.0, **measured}


def test_growth_is_memory_per_added_item_and_ratios_of_times() -> None:
    small = shop_results(1_000, rss_bytes=500_000, rss_peak_bytes=600_000)
    large = shop_results(11_000, p50_ms=2.5, rss_bytes=6_500_000, rss_peak_bytes=7_600_000)
    expected = {
        "p50_ms_ratio": 1.25,
        "p99_ms_ratio": 1.0,
        "cpu_ms_per_request_ratio": 1.0,
        "bytes_per_item": 600.0,
        "peak_bytes_per_item": 700.0,
    }
    assert expected == compare_growth(small, large)


def test_shops_of_equal_size_have_no_memory_per_item() -> None:
    same = shop_results(1_000, rss_bytes=500_000, rss_peak_bytes=600_000)
    assert {"p50_ms_ratio", "p99_ms_ratio", "cpu_ms_per_request_ratio"} == compare_growth(same, same).keys()


def test_requests_are_of_users_and_distinct_items_of_the_shop() -> None:
    shop = SyntheticShop(build_schema(FeatureConfig()), items=300, users=2)
    asked = shop_requests(shop, 20)
    assert {len(set(request.item_ids)) for request in asked} == {CANDIDATES}
    assert {request.user_id for request in asked} == {"user-0000000", "user-0000001"}
    assert all(item <= "item-0000299" for request in asked for item in request.item_ids)
    assert asked == shop_requests(shop, 20)
