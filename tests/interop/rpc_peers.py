"""
The peers that speak bRPC, tRPC and Triple: how each is run, and what it says.

Lives here: their servers and clients as commands for the fixtures `start` and `clients`. Does not: starting and ending
them (running.py, conftest.py). Those for HTTP are in http_peers.py, for gRPC in grpc_peers.py, h2spec in spec_peers.py.

    port = free_port()
    start(rpc_peers.brpc_server("brpc", "alpha", port))                # or start_here, for one test
    jobs = clients(rpc_peers.brpc_client("brpc"))                      # a JVM, started once for all tests
    (result,) = jobs.run(port=port, compress="gzip", calls=[{"method": "echo", "message": "hi", "attachment": "raw"}])
    assert result["value"]["message"] == "hi"

What a job and its calls can hold stands at the top of each client program in peers/java-*/ and peers/triple/. A result
is {"value": ...} or {"error": {"class", "message", ...}}. Mark a test with @pytest.mark.peer(names of catalogue.py):
where one is missing it is skipped, and fails under CI. test_rpc_peers.py shows every peer at work.
"""

from __future__ import annotations

import sys

from catalogue import Command, python_command
from running import HERE, PEERS, ROOT

BRPC_PEERS = ("brpc", "starlight")
"""Servers and clients alike; the names of the marker `peer`."""

TRIPLE_PEERS = ("triple", "apache-dubbo")
"""Dubbo for Java and for Python: servers and clients alike; the names of the marker `peer`."""

# Small: quick to start and short of memory. The libraries make classes as they run, for which Java 17 has to be asked.
_JAVA = [
    "java",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xmx192m",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
]


def _java(folder: str, program: str, *arguments: str) -> Command:
    path = f"{PEERS}/{folder}/classes:{PEERS}/{folder}/lib/*"
    return Command([*_JAVA, "-cp", path, f"org.example.{program}", *arguments])


def brpc_server(peer: str, name: str, port: int) -> Command:
    """A server of example.EchoService in baidu_std, on brpc-java or Starlight; see BrpcServer and StarlightServer."""
    if peer == "starlight":
        return _java("java-starlight", "starlight.StarlightServer", name, str(port))
    return _java("java-brpc", "brpc.BrpcServer", name, str(port))


def brpc_client(peer: str) -> Command:
    """A client of example.EchoService in baidu_std; see BrpcClient and StarlightClient."""
    return (
        _java("java-starlight", "starlight.StarlightClient")
        if peer == "starlight"
        else _java("java-brpc", "brpc.BrpcClient")
    )


def brpc_stream_server(port: int) -> Command:
    """
    A server of bRPC's streams, which no library outside of C++ has: by hand, after Apache bRPC's own layouts, and with
    nothing of ours. Its streams are listed in peers/brpc/stream_server.py. It needs nothing installed.
    """
    return python_command("brpc/stream_server.py", "main", str(port))


def brpc_stream_client() -> Command:
    """
    A client of bRPC's streams by hand, led step by step; its steps are listed in peers/brpc/stream_client.py. Its calls
    reach real servers, too, and tell what the libraries hide: error codes, user fields, correlation ids.
    """
    return python_command("brpc/stream_client.py", "main")


def trpc_server(name: str, port: int, streams_port: int) -> Command:
    """A server on trpc-java: trpc.example.echo.Echo on the one port, Stream on the other; see TrpcServer."""
    return _java("java-trpc", "trpc.TrpcServer", name, str(port), str(streams_port))


def trpc_client() -> Command:
    """A client on trpc-java: unary and one-way calls, the three kinds of streams; see TrpcClient."""
    return _java("java-trpc", "trpc.TrpcClient")


def triple_server(peer: str, name: str, port: int) -> Command:
    """
    A server of example.v1.Echo (echo.proto of gRPC) in Triple; clients of gRPC can call it, too.

    peer: "triple", Dubbo for Java, which has also org.example.triple.Greeter, whose arguments it wraps; or
    "apache-dubbo", Dubbo for Python, which knows no status but INTERNAL.
    """
    if peer == "apache-dubbo":
        return python_command("triple/py_server.py", "triple", name, str(port))
    return _java("java-triple", "triple.TripleServer", name, str(port))


def triple_client(peer: str) -> Command:
    """
    A client of example.v1.Echo in Triple; see TripleClient and peers/triple/py_client.py.

    That of "apache-dubbo" sends an empty message behind each request, which its own server ignores and others answer.
    """
    if peer == "apache-dubbo":
        return python_command("triple/py_client.py", "triple")
    return _java("java-triple", "triple.TripleClient")


def stream_server(protocol: str, port: int, window: int = 65535) -> Command:
    """A server of streams of bRPC or tRPC, of our own; window: what it gives, or sends within. See peers/rpc."""
    return _streams("server", protocol, str(port), str(window))


def stream_client() -> Command:
    """A client of such streams."""
    return _streams("client")


def _streams(*arguments: str) -> Command:
    path = f"{HERE}:{ROOT}/tests/shared"
    return Command([sys.executable, HERE / "rpc" / "streams.py", *arguments], {"PYTHONPATH": path})


def version(peer: str) -> str:
    """A Java library with its version, for the record of a capture."""
    jars = {"brpc": "brpc-java", "starlight": "starlight-all", "trpc": "trpc-proto-standard"}
    (jar,) = (PEERS / f"java-{peer}" / "lib").glob(f"{jars[peer]}-[0-9]*.jar")
    return f"{jar.stem} (Java)"
