"""AMQP: what routes and filters may know of a message, and what must not fool them."""

from __future__ import annotations

from typing import Any

import pytest
from amqp_words import (
    HANDSHAKE,
    HEADER,
    MAX,
    Connected,
    asked,
    consume,
    content,
    declare_ok,
    delivered,
    exchange_declare,
    get,
    headers,
    long,
    method,
    open_vhost,
    opened,
    published,
    queue_bind,
    queue_declare,
    read,
    short,
    start_ok,
    table,
    tune_ok,
)

from metaproxy.codecs.amqp import Amqp
from metaproxy.filters.rbac import Rbac
from metaproxy.interfaces import IExchange
from metaproxy.message import FrameError, Kind, Message, Reply, Side


def known(frame: bytes) -> dict[str, str]:
    (message,) = read(opened(), frame)
    return dict(message.known())


def needs(frame: bytes) -> dict[str, str]:
    return {key: value for key, value in known(frame).items() if key in ("configure", "write", "read")}


def test_a_publish_has_where_it_goes_who_sends_it_and_what_it_says_of_itself() -> None:
    properties = b"\xf8\0" + short("text/plain") + short("gzip") + table({"Tenant": "t1", "n": -5, "on": True})
    found = known(published(b"hello", "orders", "eu.new", properties=properties + b"\2\5"))
    assert found == {
        "kind": "oneway", "user": "app", "vhost": "/", "method": "basic.publish", "operation": "basic.publish orders",
        "exchange": "orders", "routing_key": "eu.new", "access": "write", "resource": "orders", "write": "orders",
        "size": "5", "content_type": "text/plain", "content_encoding": "gzip", "delivery_mode": "2", "priority": "5",
        "headers.Tenant": "t1", "headers.tenant": "t1", "Tenant": "t1", "tenant": "t1", "headers.n": "-5", "n": "-5",
        "headers.on": "true", "on": "true",
    }  # fmt: skip


def test_a_delivery_has_the_same_and_no_permission_is_needed_for_it() -> None:
    server = Amqp().session(Side.SERVER, MAX)
    for id, message in enumerate(Amqp().session(Side.CLIENT, MAX).receive(HANDSHAKE), 1):
        server.send(message, id)
    message = server.receive(delivered(properties=headers({"tenant": "t1"})))[-1]
    found = message.known()
    assert (found["user"], found["vhost"], found["consumer_tag"]) == ("app", "/", "ctag")
    assert (found["exchange"], found["headers.tenant"]) == ("orders", "t1")
    assert "access" not in found


def test_the_head_of_a_large_message_has_all_of_it() -> None:
    head, *_ = read(opened(), published(b"x" * 100_000, properties=headers({"tenant": "t1"})))
    assert (head.get("size"), head.get("headers.tenant"), head.get("write")) == ("100000", "t1", "orders")


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (exchange_declare("e"), {"configure": "e"}),
        (exchange_declare("e", bits=1), {}),
        (exchange_declare("e", arguments=table({"alternate-exchange": "ae"})),
         {"configure": "e", "read": "e", "write": "ae"}),
        (queue_declare("q"), {"configure": "q"}),
        (queue_declare("q", bits=1), {}),
        (queue_declare("q", arguments=table({"x-max-length": 5, "x-dead-letter-exchange": "dlx"})),
         {"configure": "q", "read": "q", "write": "dlx"}),
        (queue_declare("q", arguments=table({"x-dead-letter-exchange": ""})),
         {"configure": "q", "read": "q", "write": "amq.default"}),
        (queue_bind("q", "e", "#"), {"write": "q", "read": "e"}),
        (method("exchange.bind", 1, b"\0\0\1d\1s\0\0\0\0\0\0"), {"write": "d", "read": "s"}),
        (method("queue.unbind", 1, b"\0\0\1q\1e\0\0\0\0\0"), {"write": "q", "read": "e"}),
        (method("queue.purge", 1, b"\0\0\1q\0"), {"read": "q"}),
        (method("queue.delete", 1, b"\0\0\1q\0"), {"configure": "q"}),
        (method("exchange.delete", 1, b"\0\0\1e\0"), {"configure": "e"}),
        (published(exchange=""), {"write": "amq.default"}),
        (consume("q"), {"read": "q"}),
        (get("q"), {"read": "q"}),
        (method("basic.ack", 1, b"\0\0\0\0\0\0\0\1\0"), {}),
        (method("channel.open", 1, b"\0"), {}),
    ],
)  # fmt: skip
def test_what_a_method_needs_is_what_rabbitmq_checks(frame: bytes, expected: dict[str, str]) -> None:
    assert needs(frame) == expected


@pytest.mark.parametrize(
    ("login", "user"),
    [
        (start_ok(), "app"),
        (start_ok(table({"LOGIN": "app", "PASSWORD": "secret"})[4:], "AMQPLAIN"), "app"),
        (start_ok(b"\0app", "PLAIN"), None),
        (start_ok(b"whatever", "AMQPLAIN"), None),
        (start_ok(b"app", "EXTERNAL"), None),
    ],
)
def test_the_user_is_known_of_mechanisms_that_tell(login: bytes, user: str | None) -> None:
    client = opened(handshake=HEADER + login + tune_ok() + open_vhost("shop"))
    (message,) = read(client, get())
    assert (message.get("user"), message.get("vhost")) == (user, "shop")


# -- names that may fool


def test_a_queue_without_a_name_is_the_one_that_was_declared_last_on_its_channel() -> None:
    client = opened()
    messages = read(client, queue_declare("a") + queue_declare("b", channel=2) + get("") + queue_bind("", "e", ""))
    assert [messages[2].get("queue"), messages[3].get("queue")] == ["a", "a"]
    assert messages[3].get("routing_key") == "a"


def test_a_queue_that_the_server_names_has_its_name_once_it_has_answered() -> None:
    client = opened()
    declared, early = read(client, queue_declare("") + get(""))
    assert (early.values("queue"), early.values("read")) == ((), ())
    client.send(Message(Kind.RESPONSE, declare_ok("amq.gen-1")), declared.id)
    (late,) = read(client, consume(""))
    assert (late.get("queue"), late.get("read"), late.values("read")) == ("amq.gen-1", "amq.gen-1", ("amq.gen-1",))


def test_a_queue_that_was_declared_meanwhile_is_the_last_one() -> None:
    client = opened()
    declared, _ = read(client, queue_declare("") + queue_declare("named"))
    client.send(Message(Kind.RESPONSE, declare_ok("amq.gen-1")), declared.id)
    assert read(client, get(""))[0].get("queue") == "named"


def test_a_channel_that_is_opened_again_has_declared_nothing() -> None:
    client = opened()
    closed = read(client, queue_declare("a") + method("channel.close", 1, b"\0\xc8\0\0\0\0\0"))[1]
    client.send(Message(Kind.RESPONSE, method("channel.close-ok", 1)), closed.id)
    assert read(client, get(""))[0].get("queue") == ""


def test_a_header_that_is_there_twice_may_have_either_value() -> None:
    twice = b"\x20\0" + long(b"\1aS" + long(b"1") + b"\1AS" + long(b"2"))
    (message,) = read(opened(), published(properties=twice))
    assert message.values("headers.a") == ("1", "2")
    assert message.values("a") == ("1", "2")
    assert message.values("exchange") == ("orders",)


def test_a_header_never_stands_for_what_the_proxy_knows_itself() -> None:
    found = known(published(properties=headers({"user": "root", "vhost": "/other", "exchange": "e", "kind": "event"})))
    assert (found["user"], found["vhost"], found["exchange"], found["kind"]) == ("app", "/", "orders", "oneway")
    assert found["headers.user"] == "root"


@pytest.mark.parametrize(
    "properties",
    [
        b"\x20\0" + b"\0\0\0\xff",
        b"\x20\0" + long(b"\5ab"),
        b"\x20\0" + long(b"\1aS\0\0\0\xff"),
        b"\x20\0" + long(b"\1a?"),
        b"\x80\0" + b"\xffabc",
        b"\x80\0",
        b"\0\1",
    ],
)
def test_properties_that_cant_be_read_are_refused_where_somebody_asks_for_them(properties: bytes) -> None:
    (message,) = read(opened(), published(properties=properties))
    with pytest.raises(FrameError):
        message.get("headers.tenant")
    assert message.values("headers.tenant") == ()
    assert message.get("exchange") == "orders"


@pytest.mark.parametrize("arguments", [b"", b"\0\0", b"\0\0\xff", b"\0\0\6orders", b"\0\0\1e\xffk\0", b"\0\0\1e\1k"])
def test_a_publish_whose_arguments_cant_be_read_may_go_anywhere(arguments: bytes) -> None:
    (message,) = read(opened(), method("basic.publish", 1, arguments) + content(1, b""))
    with pytest.raises(FrameError, match=r"the arguments of basic.publish end before"):
        message.get("exchange")
    assert message.values("write") == ()


def test_what_can_be_read_is_known_without_that() -> None:
    (message,) = read(opened(), published(properties=b"\0\1"))
    assert message.get("exchange") == "orders"


def test_rules_see_each_method_under_the_permission_that_it_needs() -> None:
    seen: list[tuple[str | None, str | None]] = []

    def look(exchange: IExchange) -> Reply | None:
        seen.append((exchange.get("access"), exchange.get("resource")))
        return None

    there = Connected(hooks={"on_request": (look,)})
    seen.clear()
    there.say(queue_declare("a") + queue_bind("a", "e", "#") + published() + get("a"))
    assert seen == [("configure", "a"), ("write", "a"), ("write", "orders"), ("read", "a")]


def test_a_servers_answer_has_its_method() -> None:
    (answer,) = read(asked(queue_declare("a")), declare_ok("a"))
    assert (answer.get("method"), answer.get("queue"), answer.get("operation")) == (
        "queue.declare-ok", "a", "queue.declare-ok a"
    )  # fmt: skip


ONLY_ORDERS: Any = {
    "orders": {
        "action": "deny",
        "permissions": [{key: {"prefix": "orders.", "not": True}} for key in ("configure", "write", "read")],
    }
}


@pytest.mark.parametrize(
    ("frame", "passes"),
    [
        (queue_declare("orders.new"), True),
        (queue_declare("other"), False),
        (queue_bind("orders.new", "orders.all", "#"), True),
        (queue_bind("orders.new", "other", "#"), False),
        (queue_bind("other", "orders.all", "#"), False),
        (published(exchange="orders.all"), True),
        (published(exchange=""), False),
        (published(b"x" * 100_000, exchange="other"), False),
        (consume(""), False),
        (method("basic.ack", 1, b"\0\0\0\0\0\0\0\1\0"), True),
        (method("channel.open", 2, b"\0"), True),
    ],
)
def test_patterns_for_each_permission_bound_what_a_client_may_do(frame: bytes, passes: bool) -> None:
    there = Connected(hooks={"on_request": (Rbac(policies=ONLY_ORDERS).on_request,)})
    there.say(frame)
    assert there.sent().startswith(frame[:12]) is passes
