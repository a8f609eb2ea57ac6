"""
A client of thriftpy2, which shares no code with Apache Thrift. Job: as in client.py; no header transport, no JSON.
"""

from __future__ import annotations

import os
from typing import Any

import thriftpy2
from jobs import Job, Result, one, serve
from thriftpy2.protocol import TBinaryProtocolFactory, TCompactProtocolFactory, TMultiplexedProtocolFactory
from thriftpy2.rpc import make_client
from thriftpy2.transport import TBufferedTransportFactory, TFramedTransportFactory

IDL = thriftpy2.load(os.path.join(os.path.dirname(__file__), "hello.thrift"), module_name="hello_thrift")
PROTOCOLS = {
    "binary": lambda: TBinaryProtocolFactory(),
    "old": lambda: TBinaryProtocolFactory(strict_read=False, strict_write=False),
    "compact": lambda: TCompactProtocolFactory(),
}
TRANSPORTS = {"buffered": TBufferedTransportFactory, "framed": TFramedTransportFactory}


def item(fields: dict[str, Any]) -> Any:
    given = dict(fields)
    if "raw" in given:
        given["raw"] = given["raw"].encode("latin-1")
    if "numbers" in given:
        given["numbers"] = set(given["numbers"])
    if given.get("inner"):
        given["inner"] = IDL.Inner(**given["inner"])
    return IDL.Item(**given)


def plain(value: Any) -> Any:
    if isinstance(value, IDL.Item | IDL.Inner):
        return {key: plain(field) for key, field in vars(value).items() if field is not None}
    return value


def run(job: Job) -> list[Result]:
    protocol = PROTOCOLS[job["protocol"]]()
    if job.get("mux"):
        protocol = TMultiplexedProtocolFactory(protocol, "Hello")
    made: list[Any] = []

    def call(each: dict[str, Any]) -> Any:
        if not made:
            transport = TRANSPORTS[job["transport"]]()
            options = {"proto_factory": protocol, "trans_factory": transport, "timeout": 5000}
            made.append(make_client(IDL.Hello, "127.0.0.1", job["port"], **options))
        method = each["method"]
        args = [item(arg) if method == "echo" else arg for arg in each.get("args", [])]
        return plain(getattr(made[0], method)(*args))

    results = [one(lambda each=each: call(each)) for each in job["calls"]]
    for client in made:
        client.close()
    return results


serve(run)
