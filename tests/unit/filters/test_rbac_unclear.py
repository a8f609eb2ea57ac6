"""rbac where a server may see other values than the proxy: what denies tries all of them, what allows needs all."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import pytest

from metaproxy.codecs.dubbo import Dubbo
from metaproxy.filters.rbac import Rbac
from metaproxy.message import ErrorKind, Message, Side

SERVICE = ("2.0.2", "demo.Echo", "0.0.0")


class Asked:
    """An exchange with this message, on a connection with these facts."""

    def __init__(self, message: Message, facts: dict[str, str] | None = None) -> None:
        self.message = message
        self.details = ""
        self.learnt: dict[str, str | None] | None = None
        self.facts = facts or {}

    def get(self, key: str) -> str | None:
        if key.startswith("source."):
            return self.facts.get(key)
        if self.learnt is not None and key in self.learnt:
            return self.learnt[key]
        return self.message.get(key)


def string(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()


def call(*attachments: str, method: str = "echo", target: str = "", number: int = 2) -> Message:
    types = "Ljava/lang/String;" if target else ""
    head = b"".join(map(string, (*SERVICE, method, types, *([target] if target else []))))
    body = head + b"H" + b"".join(map(string, attachments)) + b"Z"
    frame = struct.pack(">HBBQI", 0xDABB, 0xC0 | number, 0, 7, len(body)) + body
    (message,) = Dubbo().session(Side.CLIENT, 1 << 20).receive(frame)
    return message


def passes(policy: Mapping[str, object], message: Message, **facts: str) -> bool:
    exchange: Any = Asked(message, {key.replace("_", "."): value for key, value in facts.items()})
    reply = Rbac({"one": policy}).on_request(exchange)
    assert reply is None or (not hasattr(reply, "addCallback") and reply.kind is ErrorKind.DENIED)
    return reply is None


def deny(**conditions: object) -> dict[str, object]:
    return {"action": "deny", "principals": [conditions]}


def allow(**conditions: object) -> dict[str, object]:
    return {"principals": [conditions]}


TWICE = [("tenant", "admin", "tenant", "x"), ("tenant", "x", "tenant", "admin"), ("Tenant", "admin", "tenant", "x")]


@pytest.mark.parametrize("attachments", TWICE)
def test_a_deny_policy_matches_if_any_value_of_a_key_does(attachments: tuple[str, str, str, str]) -> None:
    assert not passes(deny(tenant="admin"), call(*attachments))
    assert not passes(deny(tenant={"prefix": "ad"}), call(*attachments))
    assert not passes(deny(**{"not": {"tenant": "x"}}), call(*attachments))
    assert passes(deny(tenant="other"), call(*attachments))


@pytest.mark.parametrize("attachments", TWICE)
def test_an_allow_policy_matches_only_if_all_values_of_a_key_do(attachments: tuple[str, str, str, str]) -> None:
    assert not passes(allow(tenant="x"), call(*attachments))
    assert not passes(allow(**{"not": {"tenant": "admin"}}), call(*attachments))
    assert passes(allow(tenant={"in": ["x", "admin"]}), call(*attachments))
    assert passes(allow(method="echo"), call(*attachments))


def test_what_is_clear_decides_as_ever() -> None:
    assert passes(deny(tenant="admin"), call("tenant", "x"))
    assert not passes(deny(tenant="admin"), call("tenant", "admin"))
    assert passes(deny(tenant="admin", method="other"), call(*TWICE[0]))


def test_a_call_in_a_serialization_that_cannot_be_read_is_refused_where_a_deny_policy_needs_to_read_it() -> None:
    assert not passes(deny(tenant="admin"), call(number=3))
    assert not passes(deny(method="echo"), call(number=3))
    assert not passes(deny(**{"not": {"tenant": "x"}}), call(number=3))
    assert not passes(allow(**{"not": {"tenant": "admin"}}), call(number=3))


def test_what_is_known_of_such_a_call_decides_where_that_is_enough() -> None:
    outside = {"action": "deny", "permissions": [{"method": "echo"}], "principals": [{"source.address": "10.0.0.9"}]}
    assert passes(outside, call(number=3), source_address="10.0.0.1")
    assert not passes(outside, call(number=3), source_address="10.0.0.9")
    assert passes(deny(serialization="kryo"), call(number=3))
    assert not passes(deny(serialization="java"), call(number=3))
    assert passes(allow(serialization="java"), call(number=3))


def test_attachments_that_a_log_could_not_decode_before_are_refused_all_the_same() -> None:
    message = call()
    message.frame = message.frame[:-1] + b"\x06tenant"
    message.known()
    assert not passes(deny(tenant="admin"), message)


def test_the_service_that_an_attachment_names_counts_too() -> None:
    assert not passes(deny(interface="demo.Admin"), call("path", "demo.Admin"))
    assert not passes(allow(interface="demo.Echo"), call("path", "demo.Admin"))
    assert passes(allow(interface="demo.Echo"), call("path", "demo.Echo"))


@pytest.mark.parametrize("called", ["$invoke", "$invokeAsync"])
def test_a_rule_of_a_method_means_generic_calls_of_it_too(called: str) -> None:
    delete, get = (call(method=called, target=name) for name in ("delete", "get"))
    assert not passes(deny(method="delete"), delete)
    assert passes(deny(method="delete"), get)
    assert not passes(deny(operation="demo.Echo/delete"), delete)
    assert not passes(allow(method="get"), delete)
    assert not passes(allow(**{"not": {"method": "delete"}}), delete)
    assert not passes(allow(method={"exact": "delete", "not": True}), delete)
    assert passes(allow(**{"not": {"method": "delete"}}), get)


def test_a_rule_can_name_generic_calls_themselves() -> None:
    delete = call(method="$invoke", target="delete")
    assert not passes(deny(method={"prefix": "$invoke"}), delete)
    assert passes(allow(method="$invoke"), delete)
    assert not passes(deny(**{"generic.method": "delete"}), delete)


def test_a_generic_call_whose_method_cannot_be_read_is_refused_by_every_rule_of_a_method() -> None:
    assert not passes(deny(method="delete"), call(method="$invoke"))
    assert not passes(allow(method="$invoke"), call(method="$invoke"))


def test_what_a_filter_learnt_is_clear_whatever_the_client_wrote() -> None:
    exchange: Any = Asked(call(*TWICE[0]))
    exchange.learnt = {"tenant": "x"}
    assert Rbac({"one": deny(tenant="admin")}).on_request(exchange) is None


def test_shadow_policies_see_it_as_enforced_ones_do() -> None:
    rbac = Rbac(shadow={"one": deny(tenant="admin")})
    exchange: Any = Asked(call(*TWICE[0]))
    assert rbac.on_request(exchange) is None
    assert rbac.counters["shadow_denied"] == 1
