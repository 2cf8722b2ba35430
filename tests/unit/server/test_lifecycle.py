"""A server's shutdown: signal, health, drain, stop."""

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from grpc_health.v1 import health_pb2

from services.server.lifecycle import ending_within, serve_until_signal
from tests.unit.server.health_services import new_health_service


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_drains_calls_in_progress_and_then_stops(number: signal.Signals) -> None:
    """A call in progress is answered, health has turned NOT_SERVING by then, and on_stop runs last."""
    health, begun, order = new_health_service(), threading.Event(), []
    handlers_before = signal.getsignal(number)

    def call(request: bytes, _: grpc.ServicerContext) -> bytes:
        begun.set()
        done = threading.Event()
        while health.status_of("") == health_pb2.HealthCheckResponse.SERVING:
            done.wait(0.001)
        order.append("answered")
        return request

    server = grpc.server(ThreadPoolExecutor(2))
    handler = grpc.unary_unary_rpc_method_handler(call)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Service", {"Call": handler})])
    health.add_to(server)
    port = server.add_insecure_port("127.0.0.1:0")

    def client() -> bytes:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            answer = channel.unary_unary("/test.Service/Call").future(b"x", timeout=300, wait_for_ready=True)
            begun.wait(300)
            os.kill(os.getpid(), number)
            return bytes(answer.result())

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client)
        serve_until_signal(server, health, drain_s=30, on_stop=lambda: order.append("stopped"))
        assert answer.result() == b"x"
    assert order == ["answered", "stopped"]
    assert signal.getsignal(number) == handlers_before


BUSY = """
from services.server.lifecycle import ending_within, stop_event
with stop_event() as stop, ending_within(stop, 0.2):
    print("busy", flush=True)
    while True:
        pass
"""


def test_a_signal_ends_a_process_whose_thread_never_returns() -> None:
    """Whatever holds it: a loop without an end, a library that waits."""
    process = subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        assert "busy\n" == process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert 0 == process.wait(120)


def test_a_block_that_ends_in_time_is_left_alone() -> None:
    """Its watcher ends with it."""
    stop = threading.Event()
    with ending_within(stop, 0.0):
        pass
    assert stop.is_set()
    for thread in threading.enumerate():
        if thread.name == "ending-within":
            thread.join(300)
            assert not thread.is_alive()


BLOCKED = """
import signal, threading
from services.server.lifecycle import stop_event, wait_for_stop
with stop_event() as stop:
    threading.Thread(target=threading.Event().wait, daemon=True).start()  # takes the signal
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    print("waiting", flush=True)
    wait_for_stop(stop)
"""


def test_a_signal_that_does_not_interrupt_the_main_thread_stops_it_all_the_same() -> None:
    """One that came just before the wait does not either; here another thread takes it."""
    with subprocess.Popen([sys.executable, "-c", BLOCKED], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert "waiting\n" == process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert 0 == process.wait(300)
