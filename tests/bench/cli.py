"""`crossrec bench ...`: flags of the benchmarks; those that need Kafka and Valkey start their own, and stop them."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from services.settings.terminal import open_console

bench_app = typer.Typer(help="Benchmarks; each prints and writes its results with workload, versions and machine.")

JsonOption = Annotated[Path, typer.Option("--json", help="Write the results as JSON to this file.")]


@bench_app.command()
def rank(
    json_file: JsonOption,
    requests: Annotated[int, typer.Option(help="Requests per server.")] = 1_000,
) -> None:
    """Rank 200 items: the server, a floor without features, and one that reads through Feast, in one run.

    Starts its own Kafka, Valkey and servers on 100 households of Complete Journey; the servers have their own core.
    """
    from tests.bench.rank import run_bench_rank

    _write(json_file, run_bench_rank(requests))


@bench_app.command()
def overload(
    json_file: JsonOption,
    times: Annotated[float, typer.Option(help="Offered load as a multiple of the capacity.")] = 3.0,
    seconds: Annotated[float, typer.Option(help="Duration of the overload, seconds.")] = 60.0,
) -> None:
    """Overload the ranking server: measure goodput, latency and the time to recovery.

    Starts its own Kafka, Valkey and server on 100 households of Complete Journey.
    """
    from tests.bench.overload import run_bench_overload

    _write(json_file, run_bench_overload(times, seconds))


@bench_app.command()
def hostile(
    json_file: JsonOption,
    connections: Annotated[int, typer.Option(min=1, help="Connections that hold calls without a message.")] = 1_000,
    calls: Annotated[int, typer.Option(min=1, help="Calls without a message on each of them.")] = 100,
    watches: Annotated[int, typer.Option(min=0, help="Watches of health.")] = 10_000,
    streams: Annotated[int, typer.Option(min=0, help="Streams of Publish whose answers are not taken.")] = 50,
    seconds: Annotated[float, typer.Option(min=1, help="Duration of each measurement, seconds.")] = 20.0,
) -> None:
    """Attack ranking server and gateway with calls that hold back, and measure those that behave: latency, memory.

    Starts its own Kafka, Valkey and servers on 100 households of Complete Journey; then again with tokens, where 32
    connections of one token attack another's throughput.
    """
    from tests.bench.hostile import run_bench_hostile

    _write(json_file, run_bench_hostile(connections, calls, watches, streams, seconds))


@bench_app.command()
def profile(
    json_file: JsonOption,
    requests: Annotated[int, typer.Option(help="Number of requests, of 200 candidates each.")] = 300,
    calls: Annotated[int, typer.Option(help="Functions of the call profile to print; 0: none.")] = 0,
) -> None:
    """Profile a Rank request: CPU time per stage, in one process over a real store."""
    from tests.bench.profile import run_bench_profile

    _write(json_file, run_bench_profile(requests, calls))


@bench_app.command()
def scale(
    json_file: JsonOption,
    items: Annotated[str, typer.Option(help="Items of each catalogue, the smallest first.")] = "10000,1000000",
    users: Annotated[str, typer.Option(help="Users of each catalogue.")] = "1000,1000000",
    requests: Annotated[int, typer.Option(help="Requests per server.")] = 1_000,
) -> None:
    """Rank 200 items with a small and with a large catalogue: latency, memory per item, cost of refreshing rows.

    Starts its own Kafka, Valkey and servers on synthetic data. A million items and users take Valkey 17 GB.
    """
    from tests.bench.scale import run_bench_scale

    _write(json_file, run_bench_scale(_numbers(items), _numbers(users), requests))


@bench_app.command()
def ingest(
    json_file: JsonOption,
    households: Annotated[int, typer.Option(help="Households of Complete Journey; 0: all.")] = 300,
    events: Annotated[int, typer.Option(help="Events to fold: the first ones in time order.")] = 150_000,
    consumers: Annotated[int, typer.Option(min=1, help="Consumers in the group; more than 1 are compared with 1.")] = 1,
    users: Annotated[
        int, typer.Option(min=0, help="Distribute the events over this many users; 0: the users of the data.")
    ] = 0,
) -> None:
    """Measure how fast behaviour consumers fold real events from Kafka into the online store.

    Compares with a bare poll loop over the same topic and with Feast's write_to_online_store.
    """
    from tests.bench.ingest import run_bench_ingest

    _write(json_file, run_bench_ingest(households, events, consumers, users))


@bench_app.command()
def replay(
    json_file: JsonOption,
    events: Annotated[int, typer.Option(min=100, help="Ratings, each with its own time.")] = 100_000,
    seed: Annotated[int, typer.Option(help="Seed of the made ratings.")] = 0,
) -> None:
    """Replay made ratings with times of their own into training rows and offline rows: rows a second, memory."""
    from tests.bench.replay import run_bench_replay

    _write(json_file, run_bench_replay(events, seed))


@bench_app.command()
def freshness(
    json_file: JsonOption,
    households: Annotated[int, typer.Option(help="Households of Complete Journey; 0: all.")] = 300,
    probes: Annotated[int, typer.Option(help="Number of measured events.")] = 500,
    events_per_s: Annotated[int, typer.Option(help="Background load, events per second.")] = 1_000,
) -> None:
    """Measure the time from the call of Publish until Rank includes the event, under background load.

    Starts its own Kafka, Valkey, gateway, behaviour consumer and ranking server.
    """
    from tests.bench.freshness import run_bench_freshness

    _write(json_file, run_bench_freshness(households, probes, events_per_s))


@bench_app.command()
def soak(
    json_file: JsonOption,
    minutes: Annotated[float, typer.Option(min=0.1, help="Duration, minutes.")] = 60.0,
    households: Annotated[int, typer.Option(help="Households of Complete Journey; 0: all.")] = 100,
    events_per_s: Annotated[int, typer.Option(min=1, help="Background load, events per second.")] = 200,
    share: Annotated[
        float, typer.Option(min=0.01, max=1, help="Request rate as a share of the server's capacity.")
    ] = 0.5,
) -> None:
    """Rank for an hour at half of the server's capacity under background load: memory and latency per minute.

    Starts its own Kafka, Valkey, gateway, consumers and ranking server. Ctrl-C ends it early, with results.
    """
    from tests.bench.soak import run_bench_soak

    _write(json_file, run_bench_soak(minutes, households, events_per_s, share))


@bench_app.command()
def score(
    json_file: JsonOption,
    provider: Annotated[
        list[str] | None,
        typer.Option(help="Execution provider; repeat to measure several, each alone. Default: the setting."),
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Runs per number of candidates and of requests.")] = 200,
) -> None:
    """Time the model alone on random features: per provider, number of candidates, and requests in one run.

    Uses the model of the settings; starts no server.
    """
    from services.settings.load import load_settings
    from tests.bench.score import run_bench_score

    _write(json_file, run_bench_score(load_settings(), provider or [], runs))


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _write(path: Path, figures: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=2) + "\n")
    open_console().print_json(json.dumps(figures))
