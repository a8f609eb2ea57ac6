"""
Headers that Envoy's routes add and remove, as `request:` and `response:` of ours.

Lives here: `Changes`, which takes those of several levels together; values with Envoy's operators. Does not: rewrites
of paths and hosts (`http_routes`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from metaproxy.envoy.fields import Fields
from metaproxy.envoy.http_matching import key_of
from metaproxy.envoy.tables import Plain

_OPERATOR = re.compile(r"%(?:%|([A-Z0-9_]+)(?:\(([^)]*)\))?(?::(\d+))?%)")
_FACTS = {
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": "source.address",
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT": "source.address",
    "DOWNSTREAM_REMOTE_PORT": "source.port",
    "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT": "destination.address",
    "DOWNSTREAM_LOCAL_PORT": "destination.port",
    "REQUESTED_SERVER_NAME": "tls.sni",
    "DOWNSTREAM_TLS_VERSION": "tls.version",
    "UPSTREAM_REMOTE_ADDRESS": "upstream_address",
    "UPSTREAM_HOST": "upstream_address",
    "UPSTREAM_CLUSTER": "cluster",
    "UPSTREAM_CLUSTER_RAW": "cluster",
    "ROUTE_NAME": "route",
    "PROTOCOL": "protocol",
}
"""Operators -> what a value of ours is filled in with."""
_OVERWRITE = "OVERWRITE_IF_EXISTS_OR_ADD"
_APPEND = "APPEND_IF_EXISTS_OR_ADD"


class Changes:
    """What becomes of the headers of a message: each level that is added acts on what those before it made of it."""

    def __init__(self, grpc: bool = False) -> None:
        self._grpc = grpc
        self._set: dict[str, str] = {}
        self._removed: list[str] = []

    def then(self, fields: Fields, side: str) -> None:
        """One level more: a route configuration, a virtual host, a route or a weighted cluster."""
        for name in fields.texts(f"{side}_headers_to_remove"):
            key = key_of(name, self._grpc)
            self._set.pop(key, None)
            if key not in self._removed:
                self._removed.append(key)
        for option in fields.each(f"{side}_headers_to_add"):
            self._add(option)

    def _add(self, option: Fields) -> None:
        header = option.message_at("header")
        if header is None:
            option.require("header")
            return
        option.ignore("keep_empty_value")
        name = header.text("key")
        value = header.text("value") or header.data("raw_value").decode("utf-8", "replace")
        if not name:
            header.report.invalid(header.path, "key is missing")
            return
        key, action = key_of(name, self._grpc), _action(option)
        text = f"metaproxy sets a header, whatever there was; write append_action: {_OVERWRITE}"
        if action in (_APPEND, "ADD_IF_ABSENT") and key not in self._removed:
            option.unhonoured("append_action", text)
        elif action == "OVERWRITE_IF_EXISTS":
            option.unhonoured("append_action", text)
            return
        if action in (_APPEND, "ADD_IF_ABSENT") and key in self._set:
            if action == "ADD_IF_ABSENT":
                return
            self._set[key] = f"{self._set[key]}, {filled(value, header)}"
            return
        self._set[key] = filled(value, header)

    def plain(self) -> Plain:
        """As `request:` or `response:`."""
        found: Plain = {}
        if self._set:
            found["set"] = dict(self._set)
        if self._removed:
            found["remove"] = list(self._removed)
        return found


def _action(option: Fields) -> str:
    action = option.choice("append_action")
    if option.given("append"):  # the deprecated form
        return _APPEND if option.flag("append") else _OVERWRITE
    return action


def changes_of(levels: Sequence[Fields], side: str, grpc: bool = False) -> Plain:
    """Those of several levels; the first acts first."""
    changes = Changes(grpc)
    for level in levels:
        changes.then(level, side)
    return changes.plain()


def filled(value: str, fields: Fields) -> str:
    """A value with Envoy's operators as one that is filled in here."""

    def operator(found: re.Match[str]) -> str:
        name, argument, length = found[1], found[2] or "", found[3]
        if not name:
            return "%"
        if name == "REQ" and argument and "?" not in argument and length is None:
            fields.report.warn(fields.at("value"), f"metaproxy shows - where there is no {argument}, and Envoy nothing")
            return f"%{key_of(argument)}%"
        if name in _FACTS and not argument and length is None:
            return f"%{_FACTS[name]}%"
        fields.report.unhonoured(fields.at("value"), f"metaproxy can't fill in {found[0][:60]}")
        return "-"

    return _OPERATOR.sub(operator, value)
