"""
xDS over REST: POST /v3/discovery:clusters and its neighbours, JSON in and out.

Lives here: `Rest`. Does not: what is answered (`polling`), the port (`admin.http_server`).
"""

from __future__ import annotations

from collections.abc import Mapping

from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest
from google.protobuf import json_format
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import Request

from metaproxy.admin.resource import HttpError, nearest
from metaproxy.control.polling import Polls
from metaproxy.control.resource_types import TYPES, ResourceType
from metaproxy.support.bounded_json import loads

log = Logger()

PATHS: Mapping[str, ResourceType] = {f"/v3/discovery:{kind.rest}": kind for kind in TYPES}
MAX_REQUEST = 4 << 20
"""Bytes of a request."""


class Rest(Resource):
    """Answers 200 with a response, 304 when there is nothing new, 400 for a request that is wrong."""

    isLeaf = True

    def __init__(self, polls: Polls) -> None:
        super().__init__()
        self._polls = polls

    def render(self, request: Request) -> bytes:
        try:
            return self._answer(request)
        except HttpError as error:
            answer = error.answer()
            request.setResponseCode(answer.status)
            for name, value in answer.headers.items():
                request.setHeader(name.encode(), value.encode())
            request.setHeader(b"content-type", answer.content_type.encode())
            assert isinstance(answer.body, bytes)
            return answer.body

    def _answer(self, request: Request) -> bytes:
        path = request.path.decode("latin-1")
        kind = PATHS.get(path)
        if kind is None:
            raise HttpError(404, f"no {path[:200]!r}; {nearest(path, list(PATHS))}", "path")
        if request.method != b"POST":
            raise HttpError(405, f"{path} takes POST", "method", {"Allow": "POST"})
        asked = _read(request.content.read() if request.content is not None else b"")
        if asked.type_url not in ("", kind.url):
            raise HttpError(400, f"type_url is {asked.type_url[:200]!r}; {path} has {kind.url}", "type_url")
        address = request.getClientAddress()
        try:
            found = self._polls.answer(kind, asked, getattr(address, "host", ""))
        except ValueError as error:
            raise HttpError(400, str(error), "node") from None
        request.setHeader(b"content-type", b"application/json")
        if found is None:
            request.setResponseCode(304)
            return b""
        return json_format.MessageToJson(found, preserving_proto_field_name=True).encode()


def _read(body: bytes) -> DiscoveryRequest:
    """Raises HttpError."""
    if len(body) > MAX_REQUEST:
        raise HttpError(413, f"a request of {len(body)} bytes; allowed are {MAX_REQUEST}", "body")
    asked = DiscoveryRequest()
    try:
        plain = loads(body or b"{}")
        if not isinstance(plain, dict):
            raise ValueError("not an object")
        json_format.ParseDict(plain, asked, ignore_unknown_fields=True)
    except (ValueError, json_format.ParseError) as error:
        raise HttpError(400, f"not a DiscoveryRequest in JSON: {str(error)[:300]}", "body") from None
    return asked
