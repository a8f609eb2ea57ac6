"""A request in pieces: its attempts begin and end together."""

from __future__ import annotations

from typing import Any

from harness import LineCodec, Stage

from metaproxy.balancers.ring_hash import RingHash
from metaproxy.message import ErrorKind, Kind, Message, Part


class Splitting(LineCodec):
    """`get a b` is one request for each key."""

    hash_aliases = {"key": "key"}

    def split(self, request: Message, owner: Any) -> list[Part] | None:
        _, *keys = request.frame.split()
        if len(keys) < 2 or len({owner(key.decode()) for key in keys}) == 1:
            return None
        return [Part(Message(Kind.REQUEST, b"get %b\n" % key, metadata={"key": key.decode()}), key) for key in keys]

    def merge(self, request: Message, parts: Any, answers: Any) -> bytes:
        return b" ".join(answer.frame.strip() for answer in answers) + b"\n"


def stage() -> Stage:
    return Stage(codec=Splitting(), endpoints=2, balancer=lambda endpoints: RingHash(endpoints, key="key"))


def two_keys(one: Stage) -> tuple[str, str]:
    """Keys of different endpoints."""
    first = "k0"
    for number in range(1, 100):
        if one.cluster.owner(f"k{number}") is not one.cluster.owner(first):
            return first, f"k{number}"
    raise AssertionError("all keys have one owner")


def test_the_answer_is_made_of_all_parts_in_their_order() -> None:
    one = stage()
    client, keys = one.client(), two_keys(one)
    one.say(client, f"get {keys[0]} {keys[1]}\n".encode())
    by_key = {wire.take(): wire for wire in one.network.upstreams}
    one.say(by_key[f"get {keys[1]}\n".encode()], b"second\n")
    assert client.take() == b""
    one.say(by_key[f"get {keys[0]}\n".encode()], b"first\n")
    assert client.take() == b"first second\n"


def test_one_part_that_fails_fails_the_whole_and_frees_the_others() -> None:
    one = stage()
    client, keys = one.client(), two_keys(one)
    one.say(client, f"get {keys[0]} {keys[1]}\n".encode())
    one.network.upstreams[0].end()
    one.clock.advance(0)
    assert client.take().startswith(b"fail reset")
    assert [endpoint.active for endpoint in one.endpoints] == [0, 0]
    assert one.route.targets[0].counts.outcomes == {ErrorKind.RESET.value: 1}


def test_only_the_endpoint_that_did_not_answer_its_part_in_time_is_late() -> None:
    one = stage()
    client, keys = one.client(), two_keys(one)
    one.say(client, f"get {keys[0]} {keys[1]}\n".encode())
    prompt, late = one.network.upstreams
    one.say(prompt, b"first\n")
    one.clock.advance(15.1)
    assert client.take().startswith(b"fail timeout")
    timeouts = {endpoint.address: endpoint.counts.timeouts for endpoint in one.endpoints}
    assert timeouts == {prompt.peer: 0, late.peer: 1}
