"""Requests to offer: JSON lines in the proto's JSON form, one RankRequest each; reads, checks and writes them.

    {"userId": "u1", "scenarioId": "tv", "itemIds": ["a", "b"], "topK": 10, "options": {"explain": true}}

Names are the proto's, in either spelling (`user_id`, `userId`). Knows files; knows no data set and no server.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.json_format import MessageToJson, Parse, ParseError

from crossrec.ranking.v1 import ranking_pb2 as pb
from services.errors import ConfigurationError
from services.settings.private_files import write_private_text

UNIFORM, ZIPF = "uniform", "zipf"
USERS = (UNIFORM, ZIPF)


@dataclass(frozen=True)
class Shape:
    """Parameters of requests that are made from a data set.

    Args:
        requests: number of different requests; a longer run repeats them.
        candidates: items per request.
        users: `zipf` (the n-th busiest user asks as often as 1/n) or `uniform`.
        seed: of users, items and scenarios.
    """

    requests: int = 2000
    candidates: int = 200
    users: str = ZIPF
    seed: int = 0


@dataclass(frozen=True)
class RequestWorkload:
    """Requests to offer, in order.

    Args:
        requests: not empty.
        source: file or data set and its parameters, for the report.
    """

    requests: Sequence[pb.RankRequest]
    source: Mapping[str, str | int]


def check_shape(shape: Shape) -> Shape:
    """The shape; ConfigurationError names the option that is out of range."""
    if shape.users not in USERS:
        raise ConfigurationError(f"--users: {shape.users!r} is none of {', '.join(USERS)}")
    if shape.requests < 1:
        raise ConfigurationError(f"--distinct: {shape.requests} is less than 1")
    if not 1 <= shape.candidates <= 2000:
        raise ConfigurationError(f"--candidates: {shape.candidates} is not between 1 and 2000")
    return shape


def read_requests(path: Path) -> list[pb.RankRequest]:
    """The requests of a file, in its order; ConfigurationError names a line that is not a request."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"--requests: cannot read {path}: {error}") from error
    found = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                found.append(Parse(line, pb.RankRequest()))
            except ParseError as error:
                raise ConfigurationError(f"--requests: {path}, line {number}: {error}") from error
    if not found:
        raise ConfigurationError(f"--requests: {path} holds no request")
    return found


def write_requests(path: Path, requests: Iterable[pb.RankRequest]) -> None:
    """Write requests in the format that `read_requests` reads."""
    lines = (MessageToJson(request, indent=None, ensure_ascii=False) for request in requests)
    write_private_text(path, "".join(f"{line}\n" for line in lines))


def set_options(requests: Sequence[pb.RankRequest], explain: bool | None, top_k: int | None) -> None:
    """Set the given options in all requests."""
    for request in requests:
        if explain is not None:
            request.options.explain = explain
        if top_k is not None:
            request.top_k = top_k
