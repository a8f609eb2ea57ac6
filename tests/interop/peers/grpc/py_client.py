"""
A gRPC client, grpcio, of example.v1.Echo. Job: {port, ca, calls, together}; together: all calls at once, else in turn.

A call: {method: "Unary" ..., request: {fields} or requests: [...], repeat: sends the list so often, metadata: {},
timeout (seconds), compression: "gzip", cancel_after: so many replies, turns: true (BidiStream: the next request once
the one before is answered), summary: true (replies are counted, not kept), ready: true (waits for the server)}
payload_bytes: N in a request fills its payload; in a reply it is the payload's size, beside payload_crc32.

A result: {value: {replies, initial, trailing, count, bytes}}, or {error: {class: "NOT_FOUND", message, and the same}}.
Method "Health" asks grpc.health.v1 for {service}, "SetHealth" changes it.
"""

from __future__ import annotations

import queue
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from example.v1 import echo_pb2, echo_pb2_grpc
from google.protobuf.json_format import MessageToDict, ParseDict
from grpc_health.v1 import health_pb2, health_pb2_grpc
from jobs import Job, Result, serve

TIMEOUT = 20.0
FILL = b"\xa5"
COMPRESSION = {None: None, "gzip": grpc.Compression.Gzip, "deflate": grpc.Compression.Deflate}
STREAMS_UP, STREAMS_DOWN = ("ClientStream", "BidiStream"), ("ServerStream", "BidiStream")


def request_of(method: str, given: dict[str, Any]) -> Any:
    if method == "Health":
        return health_pb2.HealthCheckRequest(**given)
    if method == "SetHealth":
        return echo_pb2.SetHealthRequest(**given)
    fields = dict(given)
    fill = fields.pop("payload_bytes", 0)
    request = ParseDict(fields, echo_pb2.EchoRequest())
    if fill:
        request.payload = FILL * fill
    return request


def described(reply: Any) -> dict[str, Any]:
    fields: dict[str, Any] = MessageToDict(
        reply, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    if "payload" in fields:
        fields["payload_bytes"], fields["payload_crc32"] = len(reply.payload), zlib.crc32(reply.payload)
        del fields["payload"]
    return fields


def metadata_of(pairs: Any) -> dict[str, str]:
    return {key: value.decode("latin-1") if isinstance(value, bytes) else value for key, value in pairs or ()}


class Call:
    """One call and what has come of it."""

    def __init__(self, channel: grpc.Channel, given: dict[str, Any]) -> None:
        self._given, self._method = given, given["method"]
        self._replies: list[dict[str, Any]] = []
        self._count = self._bytes = 0
        stubs = {"Health": (health_pb2_grpc.HealthStub, "Check"), "SetHealth": (echo_pb2_grpc.ControlStub, "SetHealth")}
        stub, name = stubs.get(self._method, (echo_pb2_grpc.EchoStub, self._method))
        self._call = getattr(stub(channel), name)
        self._answered: queue.Queue[None] = queue.Queue()

    def _requests(self) -> Iterator[Any]:
        given = self._given.get("requests", [self._given.get("request", {})])
        requests = [request_of(self._method, each) for each in given]
        for turn in range(self._given.get("repeat", 1)):
            for number, request in enumerate(requests):
                if self._given.get("turns") and (turn or number):
                    self._answered.get(timeout=TIMEOUT)
                yield request

    def _keep(self, reply: Any) -> None:
        self._count += 1
        self._bytes += len(getattr(reply, "payload", b""))
        if not self._given.get("summary"):
            self._replies.append(described(reply))
        self._answered.put(None)

    def run(self) -> Result:
        options = {
            "timeout": self._given.get("timeout", TIMEOUT),
            "metadata": [
                (key, value.encode("latin-1") if key.endswith("-bin") else value)
                for key, value in self._given.get("metadata", {}).items()
            ],
            "compression": COMPRESSION[self._given.get("compression")],
            "wait_for_ready": self._given.get("ready", False),
        }
        given = self._requests() if self._method in STREAMS_UP else next(self._requests())
        call: Any = None
        try:
            if self._method in STREAMS_DOWN:
                call = self._call(given, **options)
                for reply in call:
                    self._keep(reply)
                    if self._count == self._given.get("cancel_after"):
                        call.cancel()
            else:
                future = self._call.future(given, **options)
                call = future
                self._keep(future.result())
        except (grpc.RpcError, grpc.FutureCancelledError):
            error = {"class": call.code().name, "message": call.details(), **self._all(call)}
            return {"error": error}
        return {"value": self._all(call)}

    def _all(self, call: Any) -> dict[str, Any]:
        return {
            "replies": self._replies,
            "count": self._count,
            "bytes": self._bytes,
            "initial": metadata_of(call.initial_metadata()),
            "trailing": metadata_of(call.trailing_metadata()),
        }


def channel_of(job: Job) -> grpc.Channel:
    options = [
        ("grpc.max_receive_message_length", -1),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_retries", 0),
    ]
    if "ca" not in job:
        return grpc.insecure_channel(f"127.0.0.1:{job['port']}", options)
    credentials = grpc.ssl_channel_credentials(Path(job["ca"]).read_bytes())
    return grpc.secure_channel(f"localhost:{job['port']}", credentials, options)


def run(job: Job) -> list[Result]:
    with channel_of(job) as channel:
        calls = [Call(channel, given) for given in job["calls"]]
        if not job.get("together"):
            return [call.run() for call in calls]
        with ThreadPoolExecutor(len(calls)) as pool:
            return list(pool.map(Call.run, calls))


serve(run)
