"""
A Triple consumer, apache-dubbo, of example.v1.Echo. Job: {port, calls}

A call: {method: "unary" | "serverStream" | "clientStream" | "bidiStream", request: {fields} or requests: [...]}; in a
request payload_bytes: N fills its payload. A result: {value: {replies: [texts], bytes (of all payloads), served_by}}.
"""

from __future__ import annotations

from typing import Any

import dubbo
from dubbo.configs import ReferenceConfig
from example.v1 import echo_pb2
from jobs import Job, Result, one, serve

WAIT = 20


def request_of(given: dict[str, Any]) -> Any:
    fields = dict(given)
    return echo_pb2.EchoRequest(payload=bytes(fields.pop("payload_bytes", 0)), **fields)


def replies_of(client: dubbo.Client, call: dict[str, Any]) -> list[Any]:
    method = call.get("method", "unary")
    makers = {"serverStream": "server_stream", "clientStream": "client_stream", "bidiStream": "bi_stream"}
    make = getattr(client, makers.get(method, "unary"))
    ask = make(
        method_name=method,
        request_serializer=echo_pb2.EchoRequest.SerializeToString,
        response_deserializer=echo_pb2.EchoReply.FromString,
    )
    requests = [request_of(each) for each in call.get("requests", [call.get("request", {})])]
    if method == "unary":
        return [ask(requests[0])]
    if method == "serverStream":
        return list(ask(requests[0]))
    return list(ask(iter(requests)))


def described(replies: list[Any]) -> dict[str, Any]:
    return {
        "replies": [each.text for each in replies],
        "bytes": sum(len(each.payload) for each in replies),
        "served_by": replies[-1].served_by if replies else "",
    }


def run(job: Job) -> list[Result]:
    client = dubbo.Client(ReferenceConfig.from_url(f"tri://127.0.0.1:{job['port']}/example.v1.Echo"))
    return [one(lambda call=call: described(replies_of(client, call))) for call in job["calls"]]


serve(run)
