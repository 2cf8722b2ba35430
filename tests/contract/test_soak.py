"""A soak test of seconds against a server in its own process; `crossrec bench soak` takes an hour."""

from pathlib import Path

import pytest

from tests.bench.soak import SoakedServer, run_soak, summarize_intervals
from tests.contract.lone_server import lone_server
from tests.contract.rank_server import request


def test_every_interval_reports_memory_and_latencies(tmp_path: Path) -> None:
    """Six of a second; all requests are answered."""
    with lone_server("ranking", tmp_path) as server:
        run = run_soak(
            SoakedServer(server.address, server.pid), [request().SerializeToString()] * 3, rate=20.0, minutes=0.1
        )
    found = summarize_intervals(run)
    assert [1.0, 2.0, 3.0, 4.0, 5.0, 6.0] == [each["end_s"] for each in found["intervals"]]
    assert all(each["memory_mib"] > 10 and each["p99_ms"] >= each["p50_ms"] > 0 for each in found["intervals"])
    assert 0 < found["codes"]["OK"] == sum(each["requests"] for each in found["intervals"])
    assert 1.0 == found["answered_share"]


def test_a_dead_server_ends_the_run(tmp_path: Path) -> None:
    """The check of the processes ends it, not an hour of failures."""

    class Gone(Exception):
        pass

    def check() -> None:
        raise Gone

    with lone_server("ranking", tmp_path) as server, pytest.raises(Gone):
        run_soak(
            SoakedServer(server.address, server.pid),
            [request().SerializeToString()],
            rate=5.0,
            minutes=0.1,
            check=check,
        )
