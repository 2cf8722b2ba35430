"""Results of the freshness benchmark from its probes and the consumer's timings."""

from tests.bench.freshness import Probe, summarize_probes


def test_freshness_is_the_total_and_its_parts_add_up() -> None:
    """A record polled before the gateway's acknowledgement has no waiting time."""
    probes = [Probe("probe-1", 100.0, 100.004, 100.05), Probe("probe-2", 200.0, 200.004, 200.05)]
    marks = [
        {"records": 7},
        {"user": "probe-1", "polled_s": 100.010},
        {"user": "probe-1", "written_s": 100.040, "write_s": 0.005},
        {"user": "probe-2", "polled_s": 200.002},
        {"user": "probe-2", "written_s": 200.040, "write_s": 0.005},
    ]
    found = summarize_probes(probes, marks)
    assert (50.0, 50.0) == (found["p50_ms"], found["p99_ms"])
    expected = {"publish": 4.0, "append_to_poll": 3.0, "fold": 29.0, "write": 5.0, "rank": 10.0}
    assert expected == found["parts_p50_ms"]
