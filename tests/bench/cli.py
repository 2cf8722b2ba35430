"""`crossrec bench ...`: flags of the benchmarks; each starts its own Kafka and Valkey and stops them."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

bench_app = typer.Typer(help="Measure a running system; prints and writes workload, versions and machine.")

JsonOption = Annotated[Path, typer.Option("--json", help="Where to write the figures.")]


@bench_app.command()
def rank(
    json_file: JsonOption,
    requests: Annotated[int, typer.Option(help="Requests per server.")] = 1_000,
) -> None:
    """Rank 200 items for a user: the server beside its floor (no features) and beside Feast's way, in one run.

    Starts its own Kafka, Valkey and servers on 100 households of Complete Journey; the servers get a core of their own.
    """
    from tests.bench.rank import run_bench_rank

    _write(json_file, run_bench_rank(requests))


@bench_app.command()
def overload(
    json_file: JsonOption,
    times: Annotated[float, typer.Option(help="How many times its capacity the server is offered.")] = 3.0,
    seconds: Annotated[float, typer.Option(help="For how long, seconds.")] = 60.0,
) -> None:
    """Offer the ranking server several times what it can do: what is answered, how late, and how soon it recovers.

    Starts its own Kafka, Valkey and server on 100 households of Complete Journey.
    """
    from tests.bench.overload import run_bench_overload

    _write(json_file, run_bench_overload(times, seconds))


@bench_app.command()
def profile(
    json_file: JsonOption,
    requests: Annotated[int, typer.Option(help="Requests, of 200 candidates.")] = 300,
    calls: Annotated[int, typer.Option(help="Functions of a call profile to print as well; 0: none.")] = 0,
) -> None:
    """Say where the time of a Rank request goes, stage by stage, in one process over a real store."""
    from tests.bench.profile import run_bench_profile

    _write(json_file, run_bench_profile(requests, calls))


@bench_app.command()
def scale(
    json_file: JsonOption,
    items: Annotated[str, typer.Option(help="Items of each shop, the smallest first.")] = "10000,1000000",
    users: Annotated[str, typer.Option(help="Users of each shop.")] = "1000,1000000",
    requests: Annotated[int, typer.Option(help="Requests per server.")] = 1_000,
) -> None:
    """Rank 200 items with a small and with a large catalogue: latency, memory per item, cost of keeping it young.

    Starts its own Kafka, Valkey and servers on made-up shops. A million items and users take Valkey 17 GB.
    """
    from tests.bench.scale import run_bench_scale

    _write(json_file, run_bench_scale(_numbers(items), _numbers(users), requests))


@bench_app.command()
def ingest(
    json_file: JsonOption,
    households: Annotated[int, typer.Option(help="Households of Complete Journey to take; 0: all.")] = 300,
    events: Annotated[int, typer.Option(help="Events to fold: the first ones in time order.")] = 150_000,
    consumers: Annotated[int, typer.Option(min=1, help="Processes in one group; several are compared with one.")] = 1,
    users: Annotated[int, typer.Option(min=0, help="Give the events to so many users; 0: those of the data.")] = 0,
) -> None:
    """Fold real events from Kafka into the online store with behaviour consumers, as fast as they can.

    Compares with a bare poll loop over the same topic and with Feast's write_to_online_store.
    """
    from tests.bench.ingest import run_bench_ingest

    _write(json_file, run_bench_ingest(households, events, consumers, users))


@bench_app.command()
def freshness(
    json_file: JsonOption,
    households: Annotated[int, typer.Option(help="Households of Complete Journey to take; 0: all.")] = 300,
    probes: Annotated[int, typer.Option(help="Events whose way is measured.")] = 500,
    events_per_s: Annotated[int, typer.Option(help="Events per second that come in besides.")] = 1_000,
) -> None:
    """Measure from the call of Publish until Rank knows of an event, under a load of other events.

    Starts its own Kafka, Valkey, gateway, behaviour consumer and ranking server.
    """
    from tests.bench.freshness import run_bench_freshness

    _write(json_file, run_bench_freshness(households, probes, events_per_s))


@bench_app.command()
def soak(
    json_file: JsonOption,
    minutes: Annotated[float, typer.Option(min=0.1, help="How long.")] = 60.0,
    households: Annotated[int, typer.Option(help="Households of Complete Journey to take; 0: all.")] = 100,
    events_per_s: Annotated[int, typer.Option(min=1, help="Events per second that come in meanwhile.")] = 200,
    share: Annotated[float, typer.Option(min=0.01, max=1, help="Of the server's capacity that is asked for.")] = 0.5,
) -> None:
    """Rank for an hour at half of the server's capacity while events come in: memory and latency, minute by minute.

    Starts its own Kafka, Valkey, gateway, consumers and ranking server. Ctrl-C ends it early, with figures.
    """
    from tests.bench.soak import run_bench_soak

    _write(json_file, run_bench_soak(minutes, households, events_per_s, share))


@bench_app.command()
def score(
    json_file: JsonOption,
    provider: Annotated[
        list[str] | None,
        typer.Option(help="Execution provider to measure; several: each alone. Default: as set."),
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Runs per number of candidates and requests.")] = 200,
) -> None:
    """Time the model alone, on made-up features: per provider, number of candidates, and requests in one run.

    Takes the model that the settings name; starts nothing.
    """
    from services.settings.load import load_settings
    from tests.bench.score import run_bench_score

    _write(json_file, run_bench_score(load_settings(), provider or [], runs))


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _write(path: Path, figures: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=2) + "\n")
    Console().print_json(json.dumps(figures))
