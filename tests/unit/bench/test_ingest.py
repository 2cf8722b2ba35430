"""Results of the ingest benchmark from the consumers' timings."""

from tests.bench.ingest import compare_rates, summarize_samples


def test_ingest_counts_from_the_first_commit_to_the_last() -> None:
    """Time outside the timed phases is the fold; everything before the first commit is ignored."""
    first = {"wall_s": 10.0, "cpu_s": 5.0, "records": 100, "parts_s": {"poll": 3.0}, "parts_cpu_s": {"poll": 1.0}}
    last = {"wall_s": 12.0, "cpu_s": 6.0, "records": 1100, "parts_s": {"poll": 3.5}, "parts_cpu_s": {"poll": 1.25}}
    found = summarize_samples([[first, last]])
    found |= compare_rates(found, 1000.0, 5.0)
    assert (500, 0.5, 1.0, 100.0) == (
        found["events_per_s"],
        found["ratio_to_bare_poll"],
        found["cpu_s_per_1000_events"],
        found["speedup_over_feast_push"],
    )
    assert {"fold": 0.75, "poll": 0.25} == found["share_of_time"]
    assert {"fold": 750.0, "poll": 250.0} == found["cpu_us_per_event"]


def test_several_consumers_are_measured_while_all_fold() -> None:
    """From the first commit of the last to make one, to the last commit of any; events and processor time add up."""

    def line(wall_s: float, records: int, cpu_s: float) -> dict[str, object]:
        return {"wall_s": wall_s, "cpu_s": cpu_s, "records": records, "parts_s": {}, "parts_cpu_s": {}}

    early = [line(1.0, 100, 0.5), line(2.0, 200, 1.0), line(4.0, 400, 2.0)]
    late = [line(2.5, 50, 1.0), line(4.5, 350, 2.0)]
    found = summarize_samples([early, late])
    assert (250, 4.0) == (found["events_per_s"], found["cpu_s_per_1000_events"])
