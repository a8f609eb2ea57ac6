from __future__ import annotations

import builtins
import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent import futures
from threading import Event
from typing import Any

import grpc
import pytest
import pytest_twisted
from envoy.service.ratelimit.v3 import rls_pb2
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, gatherResults

from metaproxy.clients import grpc as grpc_calls
from metaproxy.clients.grpc import Method

PATH = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"
Request, Response = rls_pb2.RateLimitRequest, rls_pb2.RateLimitResponse


class Service:
    """A service of one method on a free port. `answer` is what it does; calls: the requests that it saw."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.metadata: dict[str, str] = {}
        self.peers: set[str] = set()
        self.answer: Callable[[Any, Any], Any] = lambda request, context: Response(overall_code=1)
        self.server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
        handler = grpc.unary_unary_rpc_method_handler(
            self._serve, request_deserializer=Request.FromString, response_serializer=Response.SerializeToString
        )
        service, method = PATH[1:].split("/")
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
        self.target = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()

    def _serve(self, request: Any, context: Any) -> Any:
        self.calls.append(request)
        self.peers.add(context.peer())
        self.metadata = dict(context.invocation_metadata())
        return self.answer(request, context)


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.server.stop(None).wait()
    assert grpc_calls.open_targets() == (), "a test left a channel open"


@pytest.fixture
def method(service: Service) -> Iterator[Any]:
    method = Method(service.target, PATH, Request, Response, reactor)
    yield method
    method.close()


def failed(result: Any) -> Any:
    """The CallFailed that a Deferred ends with."""
    caught: list[Any] = []
    result.addCallbacks(lambda value: pytest.fail(f"{value} in the place of a failure"), caught.append)
    return result.addCallback(lambda _: caught[0].value)


@pytest_twisted.inlineCallbacks
def test_a_call_fires_with_the_answer(service: Service, method: Any) -> Any:
    answer = yield method.call(Request(domain="shop"), 5, [("who", "me")])
    assert answer.overall_code == Response.OK
    assert [request.domain for request in service.calls] == ["shop"]
    assert service.metadata["who"] == "me"


@pytest_twisted.inlineCallbacks
def test_a_refused_call_fails_with_the_services_status_and_text(service: Service, method: Any) -> Any:
    service.answer = lambda request, context: context.abort(grpc.StatusCode.PERMISSION_DENIED, "not you")
    error = yield failed(method.call(Request(), 5))
    assert (error.code, error.text, str(error)) == ("PERMISSION_DENIED", "not you", "PERMISSION_DENIED: not you")


@pytest_twisted.inlineCallbacks
def test_a_call_that_nobody_answers_ends_at_its_deadline(service: Service, method: Any) -> Any:
    over = Event()
    service.answer = lambda request, context: over.wait(10) and Response()
    error = yield failed(method.call(Request(), 0.05))
    over.set()
    assert error.code == "DEADLINE_EXCEEDED"


@pytest_twisted.inlineCallbacks
def test_a_cancelled_call_is_cancelled_at_the_service_too(service: Service, method: Any) -> Any:
    told, begun = Event(), Event()

    def wait(request: Any, context: Any) -> Any:
        context.add_callback(told.set)
        begun.set()
        told.wait(10)
        return Response()

    service.answer = wait
    call = method.call(Request(), 20)
    yield deferred_wait(begun)
    call.cancel()
    with pytest.raises(CancelledError):
        yield call
    assert (yield deferred_wait(told))


def deferred_wait(event: Event) -> Any:
    from twisted.internet.threads import deferToThread

    return deferToThread(event.wait, 10)


@pytest_twisted.inlineCallbacks
def test_an_address_where_nobody_listens_fails_as_unavailable(free: str) -> Any:
    method = Method(free, PATH, Request, Response, reactor)
    error = yield failed(method.call(Request(), 5))
    method.close()
    assert error.code == "UNAVAILABLE"


@pytest.fixture
def free() -> str:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest_twisted.inlineCallbacks
def test_methods_of_one_target_share_a_connection_and_the_last_one_closes_it(service: Service, method: Any) -> Any:
    other = Method(service.target, PATH, Request, Response, reactor)
    assert grpc_calls.open_targets() == (), "opened before anybody called"
    yield gatherResults([one.call(Request(), 5) for one in (method, other) for _ in range(5)])
    assert len(service.peers) == 1
    other.close()
    yield method.call(Request(), 5)
    method.close()
    assert grpc_calls.open_targets() == ()


@pytest_twisted.inlineCallbacks
def test_a_closed_method_finishes_what_is_under_way_and_what_comes_late(service: Service, method: Any) -> Any:
    go_on = Event()
    service.answer = lambda request, context: go_on.wait(10) and Response(overall_code=1)
    call = method.call(Request(), 10)
    method.close()
    assert grpc_calls.open_targets() == (service.target,)
    go_on.set()
    assert (yield call).overall_code == Response.OK
    assert grpc_calls.open_targets() == ()
    assert (yield method.call(Request(), 10)).overall_code == Response.OK
    assert grpc_calls.open_targets() == ()


def test_without_grpcio_the_import_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "grpc":
            raise ModuleNotFoundError("No module named 'grpc'")
        return real(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "metaproxy.clients.grpc")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match=r"pip install '\.\[grpc\]'"):
        importlib.import_module("metaproxy.clients.grpc")


def test_the_product_starts_without_grpcio() -> None:
    code = (
        "import sys; sys.modules['grpc'] = None\n"
        "import metaproxy.tap, metaproxy.app.start\n"
        "from metaproxy.plugins import Registry\n"
        "assert all('error' not in row for row in Registry().listing())"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
