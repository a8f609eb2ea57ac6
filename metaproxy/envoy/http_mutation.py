"""
Headers that Envoy's routes add and remove, as `request:` and `response:` of ours.

Lives here: `Changes`, which takes those of several levels together; values with Envoy's operators. Does not: rewrites
of paths and hosts (`http_routes`).
"""

from __future__ import annotations

import re

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
        self._append: dict[str, str] = {}
        self._add: dict[str, str] = {}
        self._removed: list[str] = []

    def then(self, fields: Fields, side: str) -> None:
        """One level more: a route configuration, a virtual host, a route or a weighted cluster."""
        for name in fields.texts(f"{side}_headers_to_remove"):
            key = key_of(name, self._grpc)
            self._forget(key)
            if key not in self._removed:
                self._removed.append(key)
        for option in fields.each(f"{side}_headers_to_add"):
            self._take(option)

    def _forget(self, key: str) -> None:
        for values in (self._set, self._append, self._add):
            values.pop(key, None)

    def _take(self, option: Fields) -> None:
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
        key, action, value = key_of(name, self._grpc), _action(option), filled(value, header)
        if action == _OVERWRITE:
            self._forget(key)
            self._set[key] = value
        elif action == _APPEND:
            self._behind(key, value, option)
        elif action == "ADD_IF_ABSENT":
            if key in self._removed:
                self._set.setdefault(key, value)
            elif key not in self._set and key not in self._append:
                self._add.setdefault(key, value)
        else:
            option.unhonoured("append_action", "metaproxy sets a header that is there together with one that is not")

    def _behind(self, key: str, value: str, option: Fields) -> None:
        if key == "set-cookie":
            option.unhonoured("append_action", "set-cookie is no list: its lines can't be put behind each other")
        elif key in self._add:
            option.unhonoured("append_action", "a header that is added where there is none gets nothing behind it")
        elif key in self._set:
            self._set[key] = f"{self._set[key]}, {value}"
        elif key in self._removed:
            self._set[key] = value
        else:
            self._append[key] = f"{self._append[key]}, {value}" if key in self._append else value

    def plain(self) -> Plain:
        """As `request:` or `response:`."""
        parts = {"set": self._set, "append": self._append, "add": self._add}
        found: Plain = {key: dict(values) for key, values in parts.items() if values}
        if self._removed:
            found["remove"] = list(self._removed)
        return found

    def of_an_answer(self) -> Plain:
        """Those of an answer of the proxy's own, which has none before."""
        return {**self._add, **self._append, **self._set}


def _action(option: Fields) -> str:
    action = option.choice("append_action")
    if option.given("append"):  # the deprecated form
        return _APPEND if option.flag("append") else _OVERWRITE
    return action


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
