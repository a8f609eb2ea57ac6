"""The generated service of xds-protos is the other side: what it decodes is what a service of anybody's sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
import pytest_twisted
from authz_calls import ASKED
from envoy.config.core.v3 import base_pb2
from envoy.service.auth.v3 import external_auth_pb2, external_auth_pb2_grpc
from google.protobuf import wrappers_pb2
from google.rpc import code_pb2, status_pb2
from twisted.internet import reactor

from metaproxy.clients.grpc import CallFailed
from metaproxy.filters.ext_authz.authorization import MOST_CHANGES, Decision
from metaproxy.filters.ext_authz.grpc import GrpcService, check_request, decision
from metaproxy.message import ErrorKind

Response = external_auth_pb2.CheckResponse


class Servicer:
    port = 0

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.answer: Callable[[Any, Any], Any] = lambda request, context: Response()

    def Check(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        return self.answer(request, context)


@pytest.fixture
def servicer() -> Iterator[Servicer]:
    servicer = Servicer()
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
    external_auth_pb2_grpc.add_AuthorizationServicer_to_server(servicer, server)
    servicer.port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield servicer
    server.stop(None).wait()


def header(key: str, value: str, append: bool | None = None) -> Any:
    wrapped = None if append is None else wrappers_pb2.BoolValue(value=append)
    return base_pb2.HeaderValueOption(header=base_pb2.HeaderValue(key=key, value=value), append=wrapped)


@pytest_twisted.ensureDeferred
async def test_a_real_service_sees_the_request_and_its_answer_decides(servicer: Servicer) -> None:
    service = GrpcService(f"127.0.0.1:{servicer.port}", 5.0, reactor)
    assert await service.ask(ASKED) == Decision(True)
    servicer.answer = lambda request, context: Response(status=status_pb2.Status(code=code_pb2.PERMISSION_DENIED))
    assert (await service.ask(ASKED)).passed is False
    seen = servicer.requests[0]
    assert seen == check_request(ASKED)
    assert seen.attributes.request.http.path == "/org.example.Demo/say"
    service.stop()


@pytest_twisted.ensureDeferred
async def test_a_service_that_fails_or_is_late_is_no_decision(servicer: Servicer) -> None:
    service = GrpcService(f"127.0.0.1:{servicer.port}", 5.0, reactor)

    def fail(request: Any, context: Any) -> Any:
        context.abort(grpc.StatusCode.UNAVAILABLE, "not now")

    servicer.answer = fail
    with pytest.raises(CallFailed, match="not now"):
        await service.ask(ASKED)
    assert CallFailed in service.failures
    service.stop()


def test_every_field_has_what_envoy_has_there() -> None:
    attributes = check_request(ASKED).attributes
    source, destination = attributes.source, attributes.destination
    assert (source.address.socket_address.address, source.address.socket_address.port_value) == ("10.0.0.9", 4321)
    assert (source.principal, destination.address.socket_address.port_value) == ("spiffe://x/ann", 20880)
    assert (attributes.request.time.seconds, attributes.request.time.nanos) == (1_700_000_000, 250_000_000)
    http = attributes.request.http
    assert (http.id, http.method, http.host, http.size) == ("7", "say", "org.example.Demo", 120)
    assert (http.scheme, http.protocol) == ("dubbo", "dubbo")
    assert dict(http.headers) == {"tenant": "t1", "odd": "?"}
    assert dict(attributes.context_extensions) == {"listener": "in", "route": "main"}


def test_a_socket_in_the_file_system_is_a_pipe() -> None:
    source = check_request(ASKED._replace(source=("/run/x", 0), destination=("", 0))).attributes.source
    assert source.address.pipe.path == "/run/x"


def test_changes_of_an_answer_are_taken_and_those_of_http_alone_are_not() -> None:
    ok = external_auth_pb2.OkHttpResponse(
        headers=[header("user", "ann"), header("roles", "a", append=True), header(":path", "/"), header("Host", "x")],
        headers_to_remove=["debug", ":method"],
        response_headers_to_add=[header("who", "me")],
    )
    found = decision(Response(ok_response=ok))
    assert (found.passed, found.set, found.append) == (True, {"user": "ann"}, {"roles": "a"})
    assert (found.remove, found.answer) == (("debug",), {"who": "me"})


def test_changes_are_bounded() -> None:
    many = [header(f"k{number}", "v") for number in range(1000)]
    ok = external_auth_pb2.OkHttpResponse(headers=many, headers_to_remove=[f"r{number}" for number in range(1000)])
    found = decision(Response(ok_response=ok))
    assert (len(found.set), len(found.remove)) == (MOST_CHANGES, MOST_CHANGES)


def test_the_status_refuses_whatever_else_is_there() -> None:
    ok = external_auth_pb2.OkHttpResponse(headers=[header("user", "ann")])
    found = decision(Response(status=status_pb2.Status(code=7, message="no"), ok_response=ok))
    assert found == Decision(False, ErrorKind.DENIED, "no")


def test_a_refusal_has_a_kind_a_text_and_metadata() -> None:
    refusal = external_auth_pb2.DeniedHttpResponse(body="try\nlater", headers=[header("retry-after", "5")])
    refusal.status.code = 429
    found = decision(Response(status=status_pb2.Status(code=16), denied_response=refusal))
    assert found == Decision(False, ErrorKind.LIMITED, "try later", answer={"retry-after": "5"})
