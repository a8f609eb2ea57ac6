"""
A client of Apache Thrift for Python.

Job: {port, transport, protocol, mux: bool, zlib: bool, calls: [{method, args, headers: {}}]}; transport and protocol as
in server.py. Over the header transport a result has "headers", those of the answer.
"""

from __future__ import annotations

from typing import Any

from hello import Hello
from hello.ttypes import Inner, Item
from jobs import Job, Result, one, serve
from thrift.protocol.TBinaryProtocol import TBinaryProtocol, TBinaryProtocolAccelerated
from thrift.protocol.TCompactProtocol import TCompactProtocolAccelerated
from thrift.protocol.THeaderProtocol import THeaderProtocol
from thrift.protocol.TJSONProtocol import TJSONProtocol
from thrift.protocol.TMultiplexedProtocol import TMultiplexedProtocol
from thrift.Thrift import TApplicationException
from thrift.transport.THeaderTransport import THeaderClientType, THeaderSubprotocolID, THeaderTransformID
from thrift.transport.TSocket import TSocket
from thrift.transport.TTransport import TBufferedTransport, TFramedTransport

PROTOCOLS = {
    "binary": TBinaryProtocolAccelerated,
    "old": lambda transport: TBinaryProtocol(transport, strictRead=False, strictWrite=False),
    "compact": TCompactProtocolAccelerated,
    "json": TJSONProtocol,
}
SUBPROTOCOLS = {"binary": THeaderSubprotocolID.BINARY, "compact": THeaderSubprotocolID.COMPACT}


def item(fields: dict[str, Any]) -> Item:
    """An Item of its JSON form, in which bytes are Latin-1 text and sets are lists."""
    given = dict(fields)
    if "raw" in given:
        given["raw"] = given["raw"].encode("latin-1")
    if "numbers" in given:
        given["numbers"] = set(given["numbers"])
    if given.get("inner"):
        given["inner"] = Inner(**given["inner"])
    return Item(**given)


def plain(value: Any) -> Any:
    if isinstance(value, Item | Inner):
        return {key: plain(field) for key, field in vars(value).items() if field is not None}
    return value


class Connection:
    """One connection to one port."""

    def __init__(self, job: Job) -> None:
        self._socket = TSocket("127.0.0.1", job["port"])
        self._socket.setTimeout(job.get("timeout", 5000))
        self.header: THeaderProtocol | None = None
        protocol: Any
        if job["transport"] == "header":
            types = (THeaderClientType.HEADERS,)
            self.header = protocol = THeaderProtocol(self._socket, types, SUBPROTOCOLS[job["protocol"]])
            self._zlib = job.get("zlib", False)
            if self._zlib:
                protocol.add_transform(THeaderTransformID.ZLIB)
        else:
            transport = {"buffered": TBufferedTransport, "framed": TFramedTransport}[job["transport"]]
            protocol = PROTOCOLS[job["protocol"]](transport(self._socket))
        self.client = Hello.Client(TMultiplexedProtocol(protocol, "Hello") if job.get("mux") else protocol)
        self._socket.open()

    def call(self, method: str, args: list[Any], headers: dict[str, str]) -> Any:
        if self.header is not None:
            for key, value in headers.items():
                self.header.set_header(key.encode(), value.encode())
        given = [item(arg) if method == "echo" else arg for arg in args]
        return plain(getattr(self.client, method)(*given))

    def close(self) -> None:
        self._socket.close()


def run(job: Job) -> list[Result]:
    made: list[Connection] = []

    def call(each: dict[str, Any]) -> Any:
        if not made:
            made.append(Connection(job))
        try:
            return made[0].call(each["method"], each.get("args", []), each.get("headers", {}))
        except TApplicationException as error:
            error.message = f"{error.type}: {error.message}"
            raise

    results = []
    for each in job["calls"]:
        result = one(lambda each=each: call(each))
        if made and made[0].header is not None:
            seen = made[0].header.get_headers()
            result["headers"] = {key.decode(): value.decode() for key, value in seen.items()}
        results.append(result)
    for connection in made:
        connection.close()
    return results


serve(run)
