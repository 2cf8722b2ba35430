"""Programs in Go, Java and TypeScript publish and rank, with deadline, TLS, token and retries."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from crossrec.events.v1.events_pb2 import PublishRequest
from crossrec.ranking.v1.ranking_pb2 import RankResponse
from tests.contract import front, live_chain
from tests.contract.certificate_files import AuthorityInFiles
from tests.contract.live_chain import LiveChain
from tests.outside.clients import PROGRAMS, Program

ITEMS = ["milk", "tea", "dust"]
ASKED = ["ann", "tv", *ITEMS]
TOKEN = "token of a test"  # noqa: S105


@pytest.fixture(scope="module", params=PROGRAMS, ids=lambda program: program.language)
def program(request: pytest.FixtureRequest) -> Program:
    """A program that is built; skipped where its tools are missing."""
    program: Program = request.param
    if missing := program.missing():
        pytest.skip(f"the {program.language} client needs {' and '.join(missing)} on the PATH")
    program.make()
    return program


@pytest.fixture
def chain() -> Iterator[LiveChain]:
    """Two scenarios and three items are known."""
    with live_chain.running() as chain:
        chain.publish(live_chain.scenario("tv", "evenings"), live_chain.scenario("shelf", "a shop"))
        chain.publish(*[live_chain.item(name, f"fresh {name}") for name in ITEMS])
        yield chain


def lines(program: Program, gateway: str, ranking: str, **environment: str) -> list[list[str]]:
    """The output of a program, split into lines and words; its exit code is 0 unless it prints that a call failed."""
    settings = {"DEADLINE_MS": "20000", **environment, "GATEWAY": gateway, "RANKING": ranking}
    run = program.run(*ASKED, **settings)
    printed = [line.split() for line in run.stdout.splitlines()]
    assert int(any(words[0] == "failed" for words in printed)) == run.returncode, f"{run.stdout}\n{run.stderr}"
    return printed


def ranked_lines(answer: RankResponse) -> list[list[str]]:
    """The output of a program for an answer."""
    return [["ranked", item.item_id, f"{item.score:.6f}"] for item in answer.items]


def normalise_code(code: str) -> str:
    """The name of a status in a form that is common to all languages."""
    return code.replace("_", "").lower()


def test_its_events_are_acknowledged_and_change_its_rankings(program: Program, chain: LiveChain) -> None:
    """Scores are those of any other client; a click counts as soon as the consumers have processed it."""
    gateway, ranking = chain.gateway.built.address, chain.server.built.address
    [word, event_id], *before = lines(program, gateway, ranking)
    assert "accepted" == word
    assert ranked_lines(chain.rank("tv", ITEMS)) == before
    chain.follow()
    (_, other_id), *after = lines(program, gateway, ranking)
    assert ranked_lines(chain.rank("tv", ITEMS)) == after
    assert before != after
    assert event_id != other_id
    assert event_id in str(chain.gateway.publisher.stored[-2])


def test_tls_and_token(program: Program, chain: LiveChain, tmp_path: Path) -> None:
    """With them its calls succeed; with another token it prints that the call is unauthenticated."""
    authority = AuthorityInFiles(tmp_path)
    credentials, ca = authority.server_credentials(), str(authority.file)
    with (
        front.serving(chain.gateway.built.address, TOKEN, credentials) as gateway,
        front.serving(chain.server.built.address, TOKEN, credentials) as ranking,
    ):
        accepted, *answer = lines(program, gateway.address, ranking.address, CA=ca, TOKEN=TOKEN)
        rejected = lines(program, gateway.address, ranking.address, CA=ca, TOKEN="another")[0]  # noqa: S106
    assert "accepted" == accepted[0]
    assert ranked_lines(chain.rank("tv", ITEMS)) == answer
    assert ["failed", "Publish", "unauthenticated"] == [*rejected[:2], normalise_code(rejected[2])]


def test_a_server_of_another_authority_receives_nothing(program: Program, chain: LiveChain, tmp_path: Path) -> None:
    """Neither a request nor the token."""
    ours, other = [AuthorityInFiles(_make_folder(tmp_path / name)) for name in ("ours", "other")]
    with front.serving(chain.gateway.built.address, credentials=other.server_credentials()) as gateway:
        failed = lines(program, gateway.address, "127.0.0.1:1", CA=str(ours.file), TOKEN=TOKEN)[0]
    assert ["failed", "Publish"] == failed[:2]
    assert [] == gateway.seen


def test_failed_calls_are_retried(program: Program, chain: LiveChain) -> None:
    """After UNAVAILABLE with the same event id, and after RESOURCE_EXHAUSTED with the server's retry delay."""
    with (
        front.serving(chain.gateway.built.address) as gateway,
        front.serving(chain.server.built.address) as ranking,
    ):
        gateway.fail("Publish", grpc.StatusCode.UNAVAILABLE, 2)
        ranking.fail("Rank", grpc.StatusCode.RESOURCE_EXHAUSTED, 1, ("grpc-retry-pushback-ms", "1"))
        accepted, *answer = lines(program, gateway.address, ranking.address)
    sent = [PublishRequest.FromString(tried.request).entries[0] for tried in gateway.tries("Publish")]
    assert [accepted[1]] * 3 == [entry.behavior_event.event_id for entry in sent]
    assert 2 == len(ranking.tries("Rank"))
    assert ranked_lines(chain.rank("tv", ITEMS)) == answer


def test_the_deadline_ends_a_call_without_an_answer(program: Program) -> None:
    with front.black_hole() as address:
        failed = lines(program, address, address, DEADLINE_MS="500")[0]
    assert ["failed", "Publish", "deadlineexceeded"] == [*failed[:2], normalise_code(failed[2])]


def _make_folder(folder: Path) -> Path:
    folder.mkdir()
    return folder
