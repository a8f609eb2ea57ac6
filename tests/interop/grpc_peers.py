"""
The peers that speak gRPC: how each is run, and what it says.

Lives here: the servers and clients on grpcio and @grpc/grpc-js as commands for the fixtures `start` and `clients`; the
interoperability pair of grpc-go, and ghz, which end by themselves. Does not: starting and ending them (running.py).

    port = free_port()
    server = start(grpc_peers.server("grpcio", "alpha", port))              # or start_here, for one test
    jobs = clients(grpc_peers.client("grpc-js"))
    (result,) = jobs.run(port=port, calls=[{"method": "Unary", "request": {"text": "hi"}}])
    assert grpc_peers.replies(result) == ["hi"]

A request says how it is answered (so many replies, after a delay, with a status, with metadata): see
peers/grpc/example/v1/echo.proto. What a job can ask for is listed in peers/grpc/py_client.py, and a call that is
cancelled stands in `server.text()`. The server on grpcio has also grpc.health.v1, reflection, and Library
(library.proto), whose annotations map it to HTTP; LIBRARY is its descriptor set. A test that wants to call step by step
imports `grpc` and `example.v1.echo_pb2_grpc` inside of itself: conftest.py has put them on the path.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import Any

from authority import Issued
from catalogue import Command, node_command, output, python_command
from running import HERE, PEERS

SERVERS = ("grpcio", "grpc-js")
CLIENTS = ("grpcio", "grpc-js")
PROTO = HERE / "grpc" / "example" / "v1" / "echo.proto"
LIBRARY = PEERS / "grpc" / "library.pb"

INTEROP_CASES = (
    "empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream",
    "cancel_after_begin", "cancel_after_first_response", "timeout_on_sleeping_server", "custom_metadata",
    "status_code_and_message", "special_status_message", "unimplemented_method", "unimplemented_service",
)  # fmt: skip
"""gRPC's own test cases that need no credentials; soak tests are left out, which run for long."""


def server(peer: str, name: str, port: int, *options: str, issued: Issued | None = None) -> Command:
    """A server of example.v1.Echo. options: for grpcio, say "grpc.max_concurrent_streams=1", see its program."""
    if peer == "grpc-js":
        assert not options, "the server in JavaScript takes none"
        tls = [str(issued.certificate), str(issued.key)] if issued is not None else []
        return node_command("grpc/js_server.js", name, str(port), *tls)
    tls = [f"certificate={issued.certificate}", f"key={issued.key}"] if issued is not None else []
    return python_command("grpc/py_server.py", "grpc", name, str(port), *options, *tls)


def client(peer: str) -> Command:
    """A client for the fixture `clients`."""
    if peer == "grpc-js":
        return node_command("grpc/js_client.js")
    return python_command("grpc/py_client.py", "grpc")


def replies(result: dict[str, Any]) -> list[str]:
    """The texts of a call's replies; fails when the call did."""
    assert "value" in result, result
    return [reply["text"] for reply in result["value"]["replies"]]


def interop_server(port: int) -> Command:
    """The interoperability service of grpc-go, in clear text."""
    return Command([PEERS / "bin" / "grpc-interop-server", str(port)])


def interop(port: int, case: str, seconds: float = 30.0) -> str:
    """Runs a case of gRPC's interoperability client (grpc-go). What is wrong, "" when it passes."""
    address = ["-server_host", "127.0.0.1", "-server_port", str(port), "-use_tls=false"]
    argv = [str(PEERS / "bin" / "grpc-interop-client"), *address, "-test_case", case]
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=seconds, start_new_session=True)
    return "" if ran.returncode == 0 else f"{case}: {ran.returncode}: {ran.stderr[-2000:]}"


@dataclass(frozen=True)
class Ghz:
    """What ghz counted. statuses: by gRPC's names, as "OK"; latency: seconds, by "average", "fastest", "slowest"."""

    count: int
    statuses: dict[str, int]
    latency: dict[str, float]


def ghz(
    port: int, request: dict[str, Any], method: str = "Unary", calls: int = 200, at_once: int = 8, *arguments: str
) -> Ghz:
    """Runs ghz against example.v1.Echo on a port. A client stream is given the request ten times."""
    data = json.dumps([request] * 10 if method in ("ClientStream", "BidiStream") else request)
    fixed = ["--insecure", "--proto", str(PROTO), "--call", f"example.v1.Echo.{method}", "-O", "json", "-d", data]
    text = output(
        str(PEERS / "bin" / "ghz"), *fixed, "-n", str(calls), "-c", str(at_once), *arguments, f"127.0.0.1:{port}"
    )
    report = json.loads(text)
    latency = {name: report[name] / 1e9 for name in ("average", "fastest", "slowest")}
    return Ghz(report["count"], report["statusCodeDistribution"], latency)
