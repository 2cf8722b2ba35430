"""A server's question to itself: whether it answers, through the way of every call."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc

from services.server.grpc_server import ServerLimits, build_server
from services.server.self_probe import SelfProbe
from tests.unit.server.health_services import new_health_service
from tests.waiting import wait_until

SERVICE = "test.Service"


@contextmanager
def probing(address: str, **more: object) -> Iterator[list[str]]:
    """The reasons that a probe has reported."""
    changes = list[str]()
    probe = SelfProbe(address, on_change=changes.append, interval_s=0.02, timeout_s=0.3, **more)  # type: ignore[arg-type]
    probe.start()
    try:
        yield changes
    finally:
        probe.stop()


def test_a_server_that_answers_is_not_stuck() -> None:
    """Until it does not serve for another reason, and again afterwards."""
    built = build_server(SERVICE, lambda _: None, "127.0.0.1:0", ServerLimits(2, 1 << 20))
    built.server.start()
    stalled, asked = [""], threading.Semaphore(0)

    def reason() -> str:
        asked.release()
        return stalled[0]

    with probing(built.probe_address, stalled=reason) as changes:
        for _ in range(3):
            assert asked.acquire(timeout=300)
        assert [] == changes
        stalled[0] = "all slots are taken"
        wait_until(lambda: ["all slots are taken"] == changes)
        stalled[0] = ""
        wait_until(lambda: ["all slots are taken", ""] == changes)
    built.server.stop(0).wait()


def test_a_server_that_takes_no_more_calls_is_stuck() -> None:
    """Though it accepts connections and its threads are idle."""
    begun, go_on = threading.Event(), threading.Event()

    def hold(request: bytes, _: object) -> bytes:
        begun.set()
        go_on.wait(300)
        return request

    handlers = {"Hold": grpc.unary_unary_rpc_method_handler(hold)}
    server = grpc.server(ThreadPoolExecutor(4), maximum_concurrent_rpcs=1)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])
    new_health_service().add_to(server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    with grpc.insecure_channel(address) as channel, probing(address) as changes:
        held = channel.unary_unary(f"/{SERVICE}/Hold").future(b"x", timeout=300)
        assert begun.wait(300)
        wait_until(lambda: ["the server does not answer its own health check (RESOURCE_EXHAUSTED)"] == changes)
        go_on.set()
        assert b"x" == held.result()
        wait_until(lambda: "" == changes[-1])
    server.stop(0).wait()
