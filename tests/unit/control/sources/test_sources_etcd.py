"""etcd as the source of a control plane."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from seen_texts import SeenTexts
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from metaproxy.clients.http import MAX_BODY, Answer, HttpFailed
from metaproxy.control.sources.etcd import Etcd
from metaproxy.discovery.etcd_api import Api
from metaproxy.discovery.etcd_rounds import GATHER
from metaproxy.discovery.http_registry import Servers


def coded(text: str | bytes) -> str:
    return b64encode(text.encode() if isinstance(text, str) else text).decode()


class FakeEtcd:
    """Keys with a revision, and the watch that is open."""

    def __init__(self) -> None:
        self.keys: dict[str, bytes] = {}
        self.revision = 1
        self.away = False
        self.received: Callable[[bytes], None] | None = None
        self.started: list[str] = []

    def call(
        self, method: str, url: str, timeout: float, headers: Iterable[tuple[str, str]] = (), body: bytes = b"",
        most: int = MAX_BODY,
    ) -> Deferred[Answer]:  # fmt: skip
        if self.away:
            return fail(HttpFailed("no answer"))
        asked = json.loads(body)
        key = b64decode(asked["key"]).decode()
        if url.endswith("/range"):
            listed = [{"key": coded(name), "value": coded(value)} for name, value in sorted(self.keys.items())]
            answer: dict[str, object] = {"header": {"revision": str(self.revision)}, "kvs": listed}
        else:
            self.set(key, b64decode(asked["value"]) if url.endswith("/put") else None)
            answer = {}
        return succeed(Answer(200, [], json.dumps(answer).encode()))

    def stream(
        self, url: str, patience: float, timeout: float, received: Callable[[bytes], None],
        headers: Iterable[tuple[str, str]] = (), most: int = MAX_BODY, method: str = "GET", body: bytes = b"",
    ) -> Deferred[Answer]:  # fmt: skip
        self.started.append(json.loads(body)["create_request"]["start_revision"])
        self.received = received
        self.ended: Deferred[Answer] = Deferred()
        return self.ended

    def close(self) -> None:
        pass

    def set(self, key: str, value: bytes | None) -> None:
        self.revision += 1
        if value is None:
            self.keys.pop(key, None)
        else:
            self.keys[key] = value
        pair = {"key": coded(key), "value": coded(value or b""), "mod_revision": str(self.revision)}
        event = {"kv": pair, **({"type": "DELETE"} if value is None else {})}
        self.say({"header": {"revision": str(self.revision)}, "events": [event]})

    def say(self, result: object) -> None:
        if self.received is None:
            return
        try:
            self.received(json.dumps({"result": result}).encode() + b"\n")
        except HttpFailed as error:  # as HttpCalls does
            self.ended.errback(error)


class Stand:
    def __init__(self) -> None:
        self.clock, self.etcd, self.seen = Clock(), FakeEtcd(), SeenTexts()
        calls: Any = self.etcd
        self.source = Etcd(Api(self.clock, Servers("etcd", ("http://etcd",), calls)), "/m/", self.clock)
        self.etcd.set("/m/a.yaml", b"a")


@pytest.fixture
def stand() -> Stand:
    made = Stand()
    made.source.start(made.seen)
    made.clock.advance(0)
    return made


def test_keys_below_the_prefix_are_documents_by_the_rest_of_their_names(stand: Stand) -> None:
    assert stand.seen.updates == [{"a.yaml": b"a"}]
    assert stand.etcd.started == [str(stand.etcd.revision + 1)]


def test_changes_that_follow_each_other_are_taken_as_one(stand: Stand) -> None:
    stand.etcd.set("/m/b.yaml", b"b")
    stand.etcd.set("/m/a.yaml", None)
    assert len(stand.seen.updates) == 1
    stand.clock.advance(GATHER)
    assert stand.seen.updates[1:] == [{"b.yaml": b"b", "a.yaml": None}]


def test_an_etcd_that_is_away_is_said_and_read_again_when_it_is_back() -> None:
    stand = Stand()
    stand.etcd.away = True
    stand.source.start(stand.seen)
    assert len(stand.seen.failures) == 1
    stand.etcd.away = False
    stand.clock.advance(60)
    assert stand.seen.updates == [{"a.yaml": b"a"}]


def test_a_revision_that_was_forgotten_has_all_read_again_and_what_differs_is_said(stand: Stand) -> None:
    stand.etcd.keys["/m/c.yaml"] = b"c"
    del stand.etcd.keys["/m/a.yaml"]
    stand.etcd.say({"header": {"revision": "9"}, "canceled": True, "compact_revision": "9"})
    stand.clock.advance(1)
    assert stand.seen.updates[-1] == {"a.yaml": None, "c.yaml": b"c"}


def test_what_is_written_is_read_back(stand: Stand) -> None:
    stand.source.write("returned.yaml", b"x")
    stand.clock.advance(GATHER)
    assert stand.seen.updates[-1] == {"returned.yaml": b"x"}
    stand.source.write("returned.yaml", None)
    stand.clock.advance(GATHER)
    assert stand.seen.updates[-1] == {"returned.yaml": None}


def test_what_can_not_be_written_fails(stand: Stand) -> None:
    stand.etcd.away = True
    failed: list[object] = []
    stand.source.write("x", b"x").addErrback(lambda failure: failed.append(failure.value))
    assert isinstance(failed[0], OSError)


def test_it_can_be_stopped(stand: Stand) -> None:
    stand.etcd.set("/m/b.yaml", b"b")
    stand.source.stop()
    stand.clock.advance(100)
    assert len(stand.seen.updates) == 1
