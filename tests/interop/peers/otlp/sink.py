"""
An OTLP collector, oteltest's: `sink.py PORT FILE`. A line of JSON in FILE for each span: {"service": ..., "span": ...}.

It reads JSON by the official protobuf messages, to which ids are bytes in base64, and gives them back likewise: so they
are again the hexadecimal digits that OTLP's JSON has in their place.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from http.server import HTTPServer
from typing import Any

import oteltest.sink
from google.protobuf.json_format import MessageToDict
from oteltest.sink import HttpSink
from oteltest.sink.handler import RequestHandler


class Writer(RequestHandler):
    def handle_trace(self, request: Any, headers: Any) -> None:
        with open(sys.argv[2], "a") as file:
            for resource in request.resource_spans:
                (service,) = [each for each in resource.resource.attributes if each.key == "service.name"]
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        line = {"service": service.value.string_value, "span": MessageToDict(span)}
                        file.write(json.dumps(line) + "\n")

    def handle_metrics(self, request: Any, headers: Any) -> None: ...

    def handle_logs(self, request: Any, headers: Any) -> None: ...


class Sink(HttpSink):
    """It looks for `Content-Type` as if the case of its letters counted."""

    def handle_trace(self, data: bytes, headers: dict[str, str]) -> None:
        super().handle_trace(data, {name.title(): value for name, value in headers.items()})


def on_loopback(where: tuple[str, int], handler: Any) -> HTTPServer:
    """It listens everywhere and has no option for that."""
    return HTTPServer(("127.0.0.1", where[1]), handler)


oteltest.sink.HTTPServer = on_loopback
Sink(Writer(), logging.getLogger("sink"), port=int(sys.argv[1])).start()
print("ready", flush=True)
threading.Event().wait()
