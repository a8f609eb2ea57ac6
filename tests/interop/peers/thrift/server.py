"""
Thrift servers of Apache Thrift for Python, one a port: server.py NAME PORT:TRANSPORT:PROTOCOL ...

TRANSPORT is buffered, framed or header; PROTOCOL binary, old (binary that is not strict), compact or json; with header
it is the client's choice. Every port answers plain and multiplexed calls (of service "Hello") alike, and over the
header transport each answer has the header served-by: NAME.
"""

from __future__ import annotations

import sys
import threading
import time

from hello import Hello
from hello.ttypes import Item, Rejected
from thrift.protocol.TBinaryProtocol import TBinaryProtocolAcceleratedFactory, TBinaryProtocolFactory
from thrift.protocol.TCompactProtocol import TCompactProtocolAcceleratedFactory
from thrift.protocol.THeaderProtocol import THeaderProtocol, THeaderProtocolFactory
from thrift.protocol.TJSONProtocol import TJSONProtocolFactory
from thrift.server.TServer import TThreadedServer
from thrift.TMultiplexedProcessor import TMultiplexedProcessor
from thrift.transport.THeaderTransport import THeaderClientType
from thrift.transport.TSocket import TServerSocket
from thrift.transport.TTransport import TBufferedTransportFactory, TFramedTransportFactory, TTransportFactoryBase

NAME = sys.argv[1]
PROTOCOLS = {
    "binary": TBinaryProtocolAcceleratedFactory(),
    "old": TBinaryProtocolFactory(strictRead=False, strictWrite=False),
    "compact": TCompactProtocolAcceleratedFactory(),
    "json": TJSONProtocolFactory(),
}
TRANSPORTS = {
    "buffered": TBufferedTransportFactory(),
    "framed": TFramedTransportFactory(),
    "header": TTransportFactoryBase(),  # the socket itself: the protocol has the transport inside
}
ANY_CLIENT = tuple(v for k, v in vars(THeaderClientType).items() if k.isupper())

_call = threading.local()
_notes: list[str] = []


class Handler:
    """The service. A call's headers are those of the protocol that its thread reads."""

    def sayHello(self, name: str) -> str:
        return f"hello {name} from {NAME}"

    def add(self, a: int, b: int) -> int:
        return a + b

    def echo(self, item: Item) -> Item:
        return item

    def ping(self) -> None:
        pass

    def reject(self, why: str) -> str:
        raise Rejected(why, 7)

    def crash(self, why: str) -> str:
        raise ValueError(why)

    def slow(self, milliseconds: int) -> int:
        time.sleep(milliseconds / 1000)
        return milliseconds

    def note(self, text: str) -> None:
        _notes.append(text)

    def noted(self) -> list[str]:
        return list(_notes)

    def headers(self) -> dict[str, str]:
        if not isinstance(_call.protocol, THeaderProtocol):
            return {}
        return {key.decode(): value.decode() for key, value in _call.protocol.get_headers().items()}


class Remembering:
    """A processor that lets the handler see the protocol of its call, and signs answers that can carry a header."""

    def __init__(self) -> None:
        self._processor = TMultiplexedProcessor()
        plain = Hello.Processor(Handler())
        self._processor.registerDefault(plain)
        self._processor.registerProcessor("Hello", plain)

    def process(self, iprot: object, oprot: object) -> object:
        _call.protocol = iprot
        if isinstance(oprot, THeaderProtocol):
            oprot.set_header(b"served-by", NAME.encode())
        return self._processor.process(iprot, oprot)


def serve(spec: str) -> None:
    port, transport, protocol = spec.split(":")
    protocols = THeaderProtocolFactory(ANY_CLIENT) if transport == "header" else PROTOCOLS[protocol]
    listener = TServerSocket("127.0.0.1", int(port))
    listener.listen()
    listener.listen = lambda: None  # done; the server would do it again, later than we say "ready"
    server = TThreadedServer(Remembering(), listener, TRANSPORTS[transport], protocols, daemon=True)
    threading.Thread(target=server.serve, daemon=True).start()


for each in sys.argv[2:]:
    serve(each)
print("ready", flush=True)
threading.Event().wait()
