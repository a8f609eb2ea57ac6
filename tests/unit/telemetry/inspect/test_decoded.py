from __future__ import annotations

from typing import Any

from running_proxy import Running

from metaproxy.message import FrameError, Kind, Message
from metaproxy.telemetry.inspect.decoded import MAX_KEYS, MAX_VALUE, decoded, metadata, source


def ended(service: str = "echo") -> Any:
    """An exchange of that service, as a hook sees it."""
    running = Running()
    seen: list[Any] = []
    running.proxy.watch(seen.append)
    running.exchange(running.client(), service)
    return seen[0]


def test_it_tells_what_was_asked_where_it_went_and_what_became_of_it() -> None:
    shown = decoded(ended(), 1000.0)
    assert shown["time"] == "1970-01-01T00:16:40.000Z"
    assert (shown["listener"], shown["route"], shown["cluster"]) == ("front", "main", "demo")
    assert shown["endpoint"].startswith("127.0.0.1:100")
    assert (shown["source"], shown["outcome"], shown["attempts"]) == ("127.0.0.9:4321", "ok", 1)
    assert shown["duration_ms"] == 3.0
    assert shown["request"] == {"kind": "request", "metadata": {"service": "echo"}, "bytes": 19}
    assert shown["response"] == {"kind": "response", "metadata": {}, "bytes": 15}


def test_of_a_local_answer_there_is_no_servers_answer_and_no_attempt() -> None:
    shown = decoded(ended("gone"))
    assert (shown["outcome"], shown["details"], shown["response"], shown["attempts"]) == ("denied", "not here", None, 0)
    assert shown["response_bytes"] > 0
    assert (shown["cluster"], shown["endpoint"]) == ("-", "-")


def test_metadata_are_masked_cut_and_bounded() -> None:
    message = Message(Kind.REQUEST, b"", metadata={"Token": "abc", "token": "abc", "long": "x" * 5000, "empty": ""})
    assert metadata(message) == {"Token": "****", "long": "x" * MAX_VALUE, "empty": ""}
    many = Message(Kind.REQUEST, b"", metadata={f"key{number}": "v" for number in range(1000)})
    assert len(metadata(many)) == MAX_KEYS


def test_what_can_not_be_decoded_leaves_what_was_known_before() -> None:
    def more(message: Any) -> None:
        raise FrameError("no")

    assert metadata(Message(Kind.REQUEST, b"", metadata={"a": "b"}, more=more)) == {"a": "b"}


def test_a_source_is_an_address_as_people_write_it() -> None:
    assert source({"source.address": "::1", "source.port": "80"}) == "[::1]:80"
    assert source({"source.address": "/run/socket", "source.port": ""}) == "/run/socket"
