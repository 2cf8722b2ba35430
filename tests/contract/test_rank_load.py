"""Rank under load, through a real channel: admission, slots, deadlines, concurrent requests."""

import threading
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.features.encode import Tensors
from services.registry.model import FakeModel, Scores
from tests.contract.rank_server import RankServer, SwitchedStore, order, posterior, request, running, scores


class GatedModel(FakeModel):
    """Signals when a request has reached it, and scores only after `gate` is set."""

    def __init__(self) -> None:
        self.reached, self.gate = threading.Semaphore(0), threading.Event()

    def score(self, tensors: Tensors, target: np.ndarray, _left_s: float = 0.0) -> Scores:
        self.reached.release()
        assert self.gate.wait(300)
        return super().score(tensors, target)


class SlowModel(FakeModel):
    """Takes a hundredth of a second, and signals when it is done."""

    def __init__(self) -> None:
        self.done = threading.Semaphore(0)

    def score(self, tensors: Tensors, target: np.ndarray, _left_s: float = 0.0) -> Scores:
        threading.Event().wait(0.01)
        self.done.release()
        return super().score(tensors, target)


def outcome(server: RankServer, timeout_s: float = 30) -> grpc.StatusCode | None:
    """The error code of a request; None if it is answered."""
    try:
        server.rank(request(), timeout_s)
    except grpc.RpcError as error:
        return error.code()
    return None


def test_requests_beyond_the_admission_limit_are_rejected(store: SwitchedStore) -> None:
    """Queued requests count, too; health checks work, and the admitted requests are answered."""
    model = GatedModel()
    with running(store, model, max_workers=1, max_waiting=2) as server, ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(outcome, server) for _ in range(3)]
        try:
            refused, admitted = wait(calls, timeout=300, return_when=FIRST_COMPLETED)
            assert [call.result() for call in refused] == [grpc.StatusCode.RESOURCE_EXHAUSTED]
            health = health_pb2_grpc.HealthStub(server.channel).Check(health_pb2.HealthCheckRequest(), timeout=300)
            assert health.status == health_pb2.HealthCheckResponse.SERVING
        finally:
            model.gate.set()
        assert [call.result() for call in admitted] == [None, None]


def test_a_request_that_gets_no_slot_in_time_is_dropped(store: SwitchedStore) -> None:
    """DEADLINE_EXCEEDED, and the model never sees it; the one before it is answered."""
    model = GatedModel()
    with running(store, model, max_workers=1) as server, ThreadPoolExecutor(1) as pool:
        first = pool.submit(outcome, server)
        try:
            assert model.reached.acquire(timeout=300)
            assert outcome(server, timeout_s=0.1) == grpc.StatusCode.DEADLINE_EXCEEDED
            assert not model.reached.acquire(blocking=False)
        finally:
            model.gate.set()
        assert first.result() is None


def test_a_deadline_that_passes_while_ranking_frees_the_slot(store: SwitchedStore) -> None:
    """DEADLINE_EXCEEDED; when the model returns, the only slot is free again."""
    model = GatedModel()
    with running(store, model, max_workers=1, max_waiting=1) as server:
        try:
            assert outcome(server, timeout_s=0.1) == grpc.StatusCode.DEADLINE_EXCEEDED
            while (code := outcome(server, timeout_s=0.1)) == grpc.StatusCode.DEADLINE_EXCEEDED:
                pass  # a busy machine may need several tries until one has reached the model
            assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
        finally:
            model.gate.set()
        while (code := outcome(server)) == grpc.StatusCode.RESOURCE_EXHAUSTED:
            pass  # the slot is released a moment after the gate has opened
        assert code is None


def test_concurrent_requests_get_their_own_answers(server: RankServer) -> None:
    """Users and candidates do not mix in the shared caches."""
    users = ["ann", "bob", "nobody"] * 20
    expected = {user: server.rank(request("", user)) for user in users}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda user: server.rank(request("", user)), users))
    for user, answer in zip(users, answers, strict=True):
        assert (scores(answer), posterior(answer)) == (scores(expected[user]), posterior(expected[user]))


def code_of(call: grpc.Future) -> grpc.StatusCode:
    """The code of a finished call."""
    error = call.exception()
    return grpc.StatusCode.OK if error is None else error.code()  # type: ignore[attr-defined]


def test_three_times_the_capacity_leaves_the_goodput_at_capacity(store: SwitchedStore) -> None:
    """Three requests arrive per completed ranking: nine tenths of the completed ones are in time, others fail at once.

    With a full queue, every answer would be late. Afterwards no request is rejected.
    """
    model, counted, calls = SlowModel(), 400, list[grpc.Future]()
    with running(store, model, max_workers=2, cache_age_s=3600) as server:
        server.rank(request())
        for _ in range(200 + counted):
            calls += [server.stub.Rank.future(request(), timeout=0.25, wait_for_ready=True) for _ in range(3)]
            assert model.done.acquire(timeout=300)
        codes = Counter(code_of(call) for call in calls[-3 * counted :])
        assert codes[grpc.StatusCode.OK] >= 0.9 * counted
        assert codes[grpc.StatusCode.RESOURCE_EXHAUSTED] >= counted
        assert [None] * 50 == [outcome(server) for _ in range(50)]


def test_batch_requests_are_rejected_first(store: SwitchedStore) -> None:
    """At half of the limit; interactive ones are still admitted. Both get a retry delay."""
    model = GatedModel()
    batch = (("x-crossrec-priority", "batch"),)
    with running(store, model, max_workers=2, max_waiting=4) as server, ThreadPoolExecutor(2) as pool:
        taken = [pool.submit(outcome, server) for _ in range(2)]
        try:
            for _ in taken:
                assert model.reached.acquire(timeout=300)
            with pytest.raises(grpc.RpcError) as refused:
                server.stub.Rank(request(), timeout=300, metadata=batch)
            assert grpc.StatusCode.RESOURCE_EXHAUSTED == refused.value.code()
            assert "grpc-retry-pushback-ms" in dict(refused.value.trailing_metadata())
            interactive = server.stub.Rank.future(request(), timeout=300)
        finally:
            model.gate.set()
        assert grpc.StatusCode.OK == code_of(interactive)
        assert [None, None] == [call.result() for call in taken]
        assert order(server.stub.Rank(request(), timeout=300, metadata=batch)) == ["tea", "milk", "dust"]


def test_an_unknown_priority_is_named(server: RankServer) -> None:
    """INVALID_ARGUMENT."""
    with pytest.raises(grpc.RpcError, match="x-crossrec-priority: 'urgent' is not one of") as refused:
        server.stub.Rank(request(), timeout=300, wait_for_ready=True, metadata=(("x-crossrec-priority", "urgent"),))
    assert grpc.StatusCode.INVALID_ARGUMENT == refused.value.code()
