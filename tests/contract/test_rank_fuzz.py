"""A fuzzed ranking server: every answer keeps the contract, and no resource leaks."""

from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc.error_details_pb2 import BadRequest
from grpc_status import rpc_status

from crossrec.ranking.v1.ranking_pb2 import RankRequest, RankResponse
from services.ranking.service import RANKING_SERVICE
from tests.contract.lone_server import LoneServer, lone_server
from tests.contract.strange_requests import Strange, strange

RANK = f"/{RANKING_SERVICE}/Rank"
FIRST_SEED, REQUESTS, WARM_UP = 0, 20_000, 5_000
CONNECTIONS, IN_FLIGHT = 4, 8
GROWTH_MIB = 16.0
"""By how much the server's memory may grow: under 1 kB per request; threads started under load take some of it."""

ENDED = {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}
"""The codes with which a call may end without an answer."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LoneServer]:
    with lone_server("ranking", tmp_path) as server:
        yield server


def ask(server: LoneServer, first: int, count: int) -> Counter[str]:
    """Make the calls on several connections, check each outcome, and count the outcomes."""
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        every = [range(first + number, first + count, CONNECTIONS) for number in range(CONNECTIONS)]
        return sum(pool.map(lambda seeds: ask_on_one(server, seeds), every), Counter())


def ask_on_one(server: LoneServer, seeds: range) -> Counter[str]:
    """Make the calls on a connection of their own, several at a time."""
    outcomes, under_way = Counter[str](), deque[tuple[Strange, Any]]()
    with grpc.insecure_channel(server.address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        rank = channel.unary_unary(RANK)
        for seed in seeds:
            call = strange(seed)
            future = rank.future(call.data, timeout=call.timeout_s, metadata=call.metadata)
            if call.cancelled:
                future.cancel()
            under_way.append((call, future))
            if len(under_way) == IN_FLIGHT:
                outcomes[checked(*under_way.popleft())] += 1
        outcomes.update(checked(*each) for each in under_way)
    return outcomes


def checked(call: Strange, future: Any) -> str:
    """Wait for the outcome, and check that it is one of those that this call may have."""
    try:
        check(call, future)
    except AssertionError as error:
        raise AssertionError(f"strange({call.seed}): {call}: {error}") from error
    return str(future.code().name)


def check(call: Strange, future: Any) -> None:
    code, message = future.code(), call.message
    if code in ENDED:
        assert call.odd or code is grpc.StatusCode.RESOURCE_EXHAUSTED, f"{code}: {future.details()}"
    elif code is grpc.StatusCode.INVALID_ARGUMENT:
        field = field_at_fault(future)
        if message is None:
            assert field == "request"
        elif not call.unsure:
            assert any(field.startswith(fault) for fault in call.faults), future.details()
    else:
        assert code is grpc.StatusCode.OK, f"{code}: {future.details()}"
        assert message is not None
        assert not call.faults, "is answered"
        check_answer(message, RankResponse.FromString(future.result()))


def field_at_fault(future: Any) -> str:
    """The one field that a rejection names."""
    status, violations = rpc_status.from_call(future), BadRequest()
    assert status is not None
    assert status.details[0].Unpack(violations)
    (violation,) = violations.field_violations
    assert violation.field
    assert violation.description
    return str(violation.field)


def check_answer(message: RankRequest, answer: RankResponse) -> None:
    """The guarantees of ranking.proto for every answer."""
    names, scores = [item.item_id for item in answer.items], np.array([item.score for item in answer.items])
    assert len(names) == min(message.top_k or len(message.item_ids), len(message.item_ids))
    assert len(set(names)) == len(names)
    assert set(names) <= set(message.item_ids)
    weights = np.array([line.weight for line in answer.transfer_weights])
    shares = np.array(
        [item.probability for item in answer.items]
        + [line.probability for line in answer.scenario_posterior]
        + [line.share for line in answer.transfer_weights]
        + [part.share for item in answer.items for part in item.contributions]
    )
    assert np.isfinite(scores).all()
    assert ((weights >= 0) & (weights <= 1)).all()
    assert sum(line.share for line in answer.transfer_weights) == pytest.approx(min(len(weights), 1))
    assert ((shares >= 0) & (shares <= 1)).all()
    if not message.options.diversity:
        assert (np.diff(scores) <= 0).all()
    if message.options.explain:
        parts = np.array([[part.contribution for part in item.contributions] for item in answer.items])
        assert parts.shape == (len(names), len(weights))
        np.testing.assert_allclose(parts.sum(axis=1), scores, atol=1e-5)
    if message.scenario_id:
        assert answer.scenario_id == message.scenario_id
    else:
        assert sum(line.probability for line in answer.scenario_posterior) == pytest.approx(1)
    assert len(answer.attribution_token.encode()) <= 512


def assert_quiet(server: LoneServer) -> None:
    """The log holds no error of the server."""
    log = server.log.read_text()
    assert "request_failed" not in log
    assert "Traceback" not in log


def test_twenty_thousand_strange_requests_are_answered_by_the_contract(server: LoneServer) -> None:
    """No INTERNAL, no UNKNOWN, no crash; valid requests are answered, others rejected by field; memory is flat."""
    outcomes = ask(server, FIRST_SEED, WARM_UP)
    before_mib = server.memory_mib
    outcomes += ask(server, FIRST_SEED + WARM_UP, REQUESTS - WARM_UP)
    assert {"OK", "INVALID_ARGUMENT", *(code.name for code in ENDED)} == set(outcomes)
    assert min(outcomes["OK"], outcomes["INVALID_ARGUMENT"]) > REQUESTS / 4
    assert server.memory_mib - before_mib <= GROWTH_MIB
    assert_quiet(server)
