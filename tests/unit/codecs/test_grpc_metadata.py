"""What is known of a call, and what can be changed of it."""

from __future__ import annotations

import pytest
from grpc_calls import TYPE, answer, call

from metaproxy.codecs.grpc import Grpc, Triple
from metaproxy.codecs.http import model
from metaproxy.codecs.http.heads import Pair
from metaproxy.message import FrameError, Message, Mutation


def mutated(message: Message, remove: tuple[str, ...] = (), /, **set: str) -> Message:
    codec = Grpc()
    mutation = Mutation({name.replace("_", "-"): value for name, value in set.items()}, remove)
    return Message(message.kind, codec.mutate(message, mutation), 1, more=Grpc.made_of.read)


# Keys


def test_service_and_method_are_the_two_halves_of_the_path() -> None:
    message = call()
    found = {key: message.get(key) for key in ("service", "interface", "method", "operation", "path", "http.method")}
    assert found == {
        "service": "example.v1.Echo", "interface": "example.v1.Echo", "method": "Unary",
        "operation": "example.v1.Echo/Unary", "path": "/example.v1.Echo/Unary", "http.method": "POST",
    }  # fmt: skip


def test_a_path_that_is_no_call_has_no_service() -> None:
    message = call(b"/healthz")
    assert (message.get("service"), message.get("operation")) == (None, "/healthz")


def test_fields_are_keys_and_those_that_are_called_like_a_key_stand_behind_header() -> None:
    fields: tuple[Pair, ...] = ((b"x-tenant", b"t1"), (b"method", b"evil"), (b"timeout", b"1"), (b"code", b"x"))
    message = call(fields=fields)
    assert [message.get(key) for key in ("x-tenant", "method", "timeout", "code")] == ["t1", "Unary", None, None]
    assert [message.get(f"header.{key}") for key in ("method", "timeout", "code")] == ["evil", "1", "x"]


@pytest.mark.parametrize(
    ("value", "allowed"),
    [
        ("5S", "5000"), ("1M", "60000"), ("2H", "7200000"), ("250m", "250"), ("100u", "0.1"), ("1500u", "1.5"),
        ("1n", "0.001"), ("0m", "0.001"), ("99999999H", "99999999000"), ("5", None), ("123456789S", None),
        ("-5S", None), ("", None), ("5 S", None),
    ],
)  # fmt: skip
def test_the_clients_limit_is_known_in_milliseconds(value: str, allowed: str | None) -> None:
    assert call(fields=((b"grpc-timeout", value.encode()),)).get("timeout") == allowed


def test_an_answer_is_known_by_its_status_and_its_text() -> None:
    message = answer(b"", (b"grpc-status", b"5"), (b"grpc-message", b"not%20here: %C3%BC"), (b"x-why", b"so"))
    keys = ("status", "grpc-status", "code", "message", "x-why")
    assert [message.get(key) for key in keys] == ["200", "5", "NOT_FOUND", "not here: ü", "so"]


def test_a_status_that_is_none_counts_as_unknown() -> None:
    assert answer(b"", (b"grpc-status", b"99")).get("code") == "UNKNOWN"


def test_a_policy_sees_what_a_server_may_take_the_path_for() -> None:
    message = call(b"/example.v1.Echo/%44elete?x=1")
    assert message.values("method") == ("%44elete?x=1", "Delete")
    assert message.values("service") == ("example.v1.Echo", "example.v1.Echo")
    assert call(b"/a.B//Get").values("service") == ("a.B/", "a.B")
    assert call().values("method") == ("Unary",)


# Changes


def test_another_service_or_method_is_another_path() -> None:
    assert mutated(call(), method="Other").get("path") == "/example.v1.Echo/Other"
    assert mutated(call(), service="example.v2.Echo").get("path") == "/example.v2.Echo/Unary"
    assert mutated(call(), interface="b.C", method="D").get("operation") == "b.C/D"
    assert mutated(call(), operation="b.C/D").get("path") == "/b.C/D"


def test_the_limit_is_written_as_grpc_has_it() -> None:
    limited = call(fields=((b"grpc-timeout", b"5S"),))
    assert mutated(limited, timeout="4321").get("grpc-timeout") == "4321m"
    assert mutated(limited, timeout="0.2").get("grpc-timeout") == "1m"
    assert mutated(limited, timeout="250000000").get("grpc-timeout") == "250000S"
    assert mutated(limited, ("timeout",)).get("grpc-timeout") is None


def test_a_body_stays_as_it_is() -> None:
    message = mutated(call(body=b"\0\0\0\0\x01a"), x_a="1")
    head, body, _ = model.parts(message)
    assert (head.value(b"x-a"), body) == (b"1", b"\0\0\0\0\x01a")


def test_trailers_stay_when_fields_are_set() -> None:
    message = mutated(answer(b"body", (b"grpc-status", b"0")), x_a="1")
    head, body, trailers = model.parts(message)
    assert (head.value(b"x-a"), body, trailers) == (b"1", b"body", [(b"grpc-status", b"0")])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("content-type", "text/plain"), ("te", "x"), ("grpc-status", "0"), ("Header.Grpc-Status", "0"),
        ("http.method", "GET"), ("query", "a"), ("code", "OK"), ("method", "a/b"), ("method", "a?b"), ("method", ""),
        ("service", ""), ("service", "a b"), ("operation", "a"), ("timeout", "soon"), ("timeout", "inf"),
        ("x-a", "b\nc"),
    ],
)  # fmt: skip
def test_what_would_make_no_call_of_it_is_refused(key: str, value: str) -> None:
    with pytest.raises(FrameError):
        Grpc().mutate(call(), Mutation({key: value}))


@pytest.mark.parametrize("key", ["service", "method", "content-type", "grpc-status", "path"])
def test_what_a_call_needs_is_not_removed(key: str) -> None:
    with pytest.raises(FrameError):
        Grpc().mutate(call(), Mutation({}, (key,)))


def test_an_answer_has_no_method() -> None:
    with pytest.raises(FrameError, match="method"):
        Grpc().mutate(answer(), Mutation({"method": "a"}))


# Triple


def triple(*fields: Pair) -> Message:
    head = model.request_head(b"POST", b"/org.example.Greeter/greet", b"a", [TYPE, *fields])
    return model.whole(head, b"", 1, Triple.made_of.read)


def test_triple_has_version_group_and_application() -> None:
    message = triple(
        (b"tri-service-version", b"1.0.0"), (b"tri-service-group", b"blue"), (b"tri-consumer-appname", b"shop"),
        (b"tri-service-timeout", b"3000"), (b"version", b"x"),
    )  # fmt: skip
    keys = ("version", "group", "application", "timeout", "interface", "header.version")
    assert [message.get(key) for key in keys] == ["1.0.0", "blue", "shop", "3000", "org.example.Greeter", "x"]


def test_the_limit_of_grpc_goes_before_dubbos() -> None:
    assert triple((b"grpc-timeout", b"1S"), (b"tri-service-timeout", b"3000")).get("timeout") == "1000"


def test_triples_keys_are_set_and_removed_as_its_fields() -> None:
    message = triple((b"tri-service-group", b"blue"))
    head = Triple().mutate(message, Mutation({"version": "2.0.0"}, ("group",)))
    assert b"tri-service-version: 2.0.0\r\n" in head
    assert b"tri-service-group" not in head
