"""The edges of etcd's API; test_etcd.py has what is asked when."""

from __future__ import annotations

from base64 import b64encode

from scripted_calls import ScriptedCalls
from twisted.internet.task import Clock

from metaproxy.discovery.etcd_api import Api, Event
from metaproxy.discovery.http_registry import Servers


def test_events_of_a_watch_come_with_the_revision_of_the_last_of_them() -> None:
    clock, calls = Clock(), ScriptedCalls()
    api = Api(clock, Servers("etcd", ["http://127.0.0.1:1"], calls))
    found: list[Event] = []
    over: list[bool] = []
    api.watch("/a/", 3, 60.0, found.append).addCallback(over.append)
    key = b64encode(b"/a/1").decode()
    calls.last.send({"result": {"header": {"revision": "9"}, "created": True}})
    put = {"kv": {"key": key, "value": b64encode(b"v").decode(), "mod_revision": "4"}}
    calls.last.send(
        {
            "result": {
                "header": {"revision": "9"},
                "events": [put, {"type": "DELETE", "kv": {"key": key, "mod_revision": "5"}}],
            }
        }
    )
    assert found == [Event([], 0, 9), Event([("/a/1", b"v"), ("/a/1", None)], 5, 9)]
    clock.advance(60)
    calls.last.fail("no answer in 60 s")
    assert over == [True]
