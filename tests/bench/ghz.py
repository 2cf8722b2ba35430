"""`python -m tests.bench.ghz`: compares the load client with ghz, in turns, on one ranking server with a fake model.

Both send the same requests at the same constant rate in an open loop. ghz measures from sending, so its latency
compares with the load client's `service_ms`. Run it in the repository's root; needs ghz on the PATH, or --ghz PATH:
`go install github.com/bojand/ghz/cmd/ghz@latest`.
"""

import argparse
import json
import multiprocessing
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

from google.protobuf.json_format import MessageToDict

from crossrec.ranking.v1.ranking_pb2 import RankRequest
from services.load.client_pool import ClientPool
from services.load.profiles import STEADY, Profile
from services.load.run import run_load
from services.load.schedule import CONSTANT
from services.load.target import Target
from tests.contract.rank_server import History, SwitchedStore, request, running

ITEMS = [f"item{number}" for number in range(200)]
METHOD = "crossrec.ranking.v1.RankingService.Rank"
PROTO = ("--proto", "proto/crossrec/ranking/v1/ranking.proto", "--import-paths", "proto")
CONNECTIONS = 4


def serve(pipe: Connection) -> None:
    """Main of the server's process: sends its address through the pipe, and serves until a message arrives."""
    store = SwitchedStore()
    history = History(store)
    history.scenarios("shelf", "tv")
    history.items(*ITEMS)
    history.events(*[(f"user{number}", "tv", ITEMS[number % 200]) for number in range(1000)])
    with running(store, cache_age_s=60) as server:
        pipe.send(server.built.address)
        pipe.recv()


@contextmanager
def running_server() -> Iterator[str]:
    """Start a server in a child process; yields its address."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=serve, args=(theirs,))
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send("end")
        process.join()


def measure_with_ghz(
    ghz: str, address: str, asked: list[RankRequest], rate: float, duration_s: float
) -> dict[str, float]:
    """Percentiles measured by ghz, milliseconds."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as data:
        json.dump([MessageToDict(message) for message in asked], data)
        data.flush()
        options = ["--insecure", *PROTO, "--call", METHOD, "--data-file", data.name, "--async", "--timeout", "10s"]
        pace = ["--rps", f"{rate:g}", "--load-schedule", "const", "--total", str(round(rate * duration_s))]
        clients = ["--connections", str(CONNECTIONS), "--concurrency", str(CONNECTIONS), "--format", "json"]
        run = subprocess.run([ghz, *options, *pace, *clients, address], stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(run.stdout)
    at = {f"p{line['percentage']}": line["latency"] / 1e6 for line in found["latencyDistribution"]}
    return {"p50": at["p50"], "p90": at["p90"], "p99": at["p99"], "answered": found["statusCodeDistribution"]["OK"]}


def measure_with_crossrec(address: str, asked: list[RankRequest], rate: float, duration_s: float) -> dict[str, float]:
    """The same percentiles measured by the load client, from sending."""
    profile = Profile(STEADY, [rate], duration_s, CONSTANT, seed=0)
    bodies = [message.SerializeToString() for message in asked]
    with ClientPool(Target(address, CONNECTIONS, deadline_s=10), bodies, clients=1) as pool:
        whole = run_load(pool, profile)["overall"]
    return {**{name: whole["service_ms"][name] for name in ("p50", "p90", "p99")}, "answered": whole["codes"]["OK"]}


def main() -> None:
    """Measure in turns, and print every round and the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ghz", default="ghz")
    parser.add_argument("--rate", type=float, default=50)
    parser.add_argument("--duration", type=float, default=10, help="of each turn, seconds")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    asked = [request("tv", f"user{number}", ITEMS) for number in range(1000)]
    turns: dict[str, list[dict[str, float]]] = {"ghz": [], "crossrec": []}
    with running_server() as address:
        measure_with_crossrec(address, asked, chosen.rate, 2)  # the server's first requests are slow
        for _ in range(chosen.rounds):
            turns["ghz"].append(measure_with_ghz(chosen.ghz, address, asked, chosen.rate, chosen.duration))
            turns["crossrec"].append(measure_with_crossrec(address, asked, chosen.rate, chosen.duration))
            print(*(f"{name}: {rounds[-1]}" for name, rounds in turns.items()), sep="\n", flush=True)  # noqa: T201
    for name in ("p50", "p90", "p99"):
        ghz, ours = ([turn[name] for turn in turns[client]] for client in ("ghz", "crossrec"))
        middle = statistics.median(ours), statistics.median(ghz)
        spread = f"{min(ours):.2f}-{max(ours):.2f} and {min(ghz):.2f}-{max(ghz):.2f}"
        print(f"{name}: crossrec {middle[0]:.2f} ms, ghz {middle[1]:.2f} ms ({spread})")  # noqa: T201


if __name__ == "__main__":
    main()
