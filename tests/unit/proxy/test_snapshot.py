from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest
from harness import Stage

from metaproxy import testing
from metaproxy.message import ErrorKind, Kind, Message, Mutation
from metaproxy.proxy.snapshot import NO_ROUTE, PLACES, RewritingTemplate, RouteReply, Snapshot, Template
from metaproxy.routing.pattern import compile_rewrite


class FakeExchange:
    """What a template may ask of an exchange."""

    upstream_address = "127.0.0.1:1000"
    listener = "front"
    protocol = "quill"
    route = "all"
    cluster = "demo"

    def __init__(self, **metadata: str) -> None:
        self._metadata = metadata

    def get(self, key: str) -> str | None:
        return self._metadata.get(key)


def filled(text: str, **metadata: str) -> str:
    exchange: Any = FakeExchange(**metadata)
    return Template({"key": text}).fill(exchange).set["key"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("%upstream_address%", "127.0.0.1:1000"),
        ("%listener%/%protocol%/%route%/%cluster%", "front/quill/all/demo"),
        ("to %upstream_address%!", "to 127.0.0.1:1000!"),
        ("%user%", "alice"),
        ("%source.address%", "-"),
        ("%no-such-key%", "-"),
        ("100%", "100%"),
        ("50% of %user%", "50% of alice"),
        ("%%", "%%"),
        ("% user %", "% user %"),
        ("", ""),
    ],
)
def test_places_in_a_value_are_filled_in_for_each_exchange(text: str, shown: str) -> None:
    assert filled(text, user="alice") == shown


def test_what_a_client_wrote_is_not_filled_in_again() -> None:
    assert filled("%user%", user="%upstream_address%") == "%upstream_address%"


def test_a_value_without_places_is_the_same_mutation_for_every_exchange() -> None:
    template = Template({"key": "plain"}, ("gone",))
    exchange: Any = FakeExchange()
    assert template.fill(exchange) is template
    assert isinstance(template, Mutation)
    assert template.remove == ("gone",)


def test_filling_in_leaves_the_template_as_it_is() -> None:
    template = Template({"a": "%user%", "b": "plain"}, ("gone",))
    one: Any = FakeExchange(user="alice")
    other: Any = FakeExchange(user="bob")
    first, second = template.fill(one), template.fill(other)
    assert (first.set, second.set) == ({"a": "alice", "b": "plain"}, {"a": "bob", "b": "plain"})
    assert first.remove == ("gone",)
    assert template.set["a"] == "%user%"


def test_each_place_is_something_that_an_exchange_has() -> None:
    from metaproxy.interfaces import IExchange

    assert set(PLACES) <= set(IExchange.names(all=True))


def test_a_snapshot_cannot_be_changed() -> None:
    snapshot = Snapshot(1, "demo.yaml", 0.0)
    for made in (snapshot, Stage().snapshot):
        name: Any = next(iter(dataclasses.fields(made))).name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(made, name, "other")
        assert not hasattr(made, "__dict__")


def test_the_reply_for_no_route_says_so() -> None:
    assert (NO_ROUTE.kind, NO_ROUTE.text) == (ErrorKind.NOT_FOUND, "no route matched")


def test_the_answer_of_a_route_has_its_places_filled_in() -> None:
    exchange: Any = FakeExchange(host="a.example", target="/b?c")
    moved = RouteReply(None, "moved", "301", {"location": "https://%host%%target%"}).filled(exchange)
    assert (moved.kind, moved.text, moved.name) == (None, "moved", "301")
    assert moved.metadata == {"location": "https://a.example/b?c"}
    plain = RouteReply(ErrorKind.DENIED, "no", "", {"a": "b"})
    assert plain.filled(exchange) is plain
    assert plain.metadata == {"a": "b"}
    assert RouteReply(ErrorKind.DENIED).metadata is None


def test_a_rewritten_path_is_set_where_it_matches() -> None:
    template = RewritingTemplate({"host": "%user%.example"}, ("x-a",), path=compile_rewrite("^/v2", ""))
    exchange: Any = FakeExchange(path="/v2/a", user="anna")
    assert template.fill(exchange).set == {"host": "anna.example", "path": "/a"}
    assert template.fill(exchange).remove == ("x-a",)
    exchange = FakeExchange(path="/v1", user="anna")
    assert template.fill(exchange).set == {"host": "anna.example"}


def test_a_value_is_put_behind_the_one_that_a_message_has() -> None:
    template = Template({}, append={"X-Seen": "%user%"})
    assert template.fill(testing.FakeExchange({"x-seen": "a", "user": "b"})).set == {"X-Seen": "a, b"}
    assert template.fill(testing.FakeExchange({"user": "b"})).set == {"X-Seen": "b"}


def test_a_value_is_added_where_a_message_has_none() -> None:
    template = Template({}, add={"tenant": "none"})
    assert template.fill(testing.FakeExchange({"tenant": ""})).set == {}
    assert template.fill(testing.FakeExchange({})).set == {"tenant": "none"}


def test_what_is_removed_is_not_there() -> None:
    template = Template({}, ("x",), append={"x": "1"}, add={"X": "2"})
    assert template.fill(testing.FakeExchange({"x": "0"})).set == {"x": "1", "X": "2"}


def test_the_answer_is_looked_at_once_there_is_one() -> None:
    exchange = testing.FakeExchange({"via": "request"}, response=Message(Kind.RESPONSE, b"", 1, {"via": "answer"}))
    assert Template({}, append={"via": "me"}).fill(exchange).set == {"via": "answer, me"}


def test_a_snapshot_of_a_listener_can_be_copied() -> None:
    one = Stage().listener.snapshot
    for other in (copy.copy(one), dataclasses.replace(one)):
        assert other is not one
        for field in dataclasses.fields(one):
            assert getattr(other, field.name) is getattr(one, field.name)
