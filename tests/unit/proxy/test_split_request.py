"""A request in pieces: its attempts begin and end together."""

from __future__ import annotations

from typing import Any

from harness import LineCodec, Stage

from metaproxy.balancers.ring_hash import RingHash
from metaproxy.message import ErrorKind, FrameError, Kind, Message, Part


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


class Asking(Splitting):
    """`all` is asked of every endpoint, `here` is answered by the codec, `why` is refused; keys of others are, too."""

    def split(self, request: Message, owner: Any) -> Any:
        word, *keys = request.frame.split()
        if word == b"all":
            return [Part(request, None, endpoint) for endpoint in owner.everyone()] or b"incomplete\n"
        if word == b"here":
            return b"from here\n"
        if word == b"why":
            raise FrameError("because")
        if owner.bound is not None and keys and owner(keys[0].decode()) is not owner.bound:
            return []
        return None


def asking() -> Stage:
    return Stage(codec=Asking(), endpoints=2, balancer=lambda endpoints: RingHash(endpoints, key="key"))


def test_a_part_goes_to_the_endpoint_that_the_codec_chose() -> None:
    one = asking()
    client = one.client()
    one.say(client, b"all\n")
    assert [wire.take() for wire in one.network.upstreams] == [b"all\n"] * 2
    for wire, answer in zip(one.network.upstreams, (b"1\n", b"2\n"), strict=True):
        one.say(wire, answer)
    assert client.take() == b"1 2\n"


def test_the_codec_is_given_no_endpoints_while_one_is_not_usable() -> None:
    one = asking()
    one.cluster.eject(one.endpoints[1])
    client = one.client()
    one.say(client, b"all\n")
    assert client.take() == b"incomplete\n"


def test_bytes_are_the_answer_and_no_endpoint_is_asked() -> None:
    one = asking()
    client = one.client()
    one.say(client, b"here\n")
    assert client.take() == b"from here\n"
    assert one.network.upstreams == []
    assert one.route.targets[0].counts.outcomes == {"ok": 1}


def test_a_request_is_refused_with_the_codecs_reason() -> None:
    one = asking()
    client = one.client()
    one.say(client, b"why\n")
    assert client.take() == b"fail bad_request because\n"


def test_a_client_with_a_connection_of_its_own_is_refused_keys_of_other_endpoints() -> None:
    one = asking()
    client, keys = one.client(), two_keys(one)
    one.say(client, f"begin {keys[0]}\n".encode())
    (wire,) = one.network.upstreams
    assert wire.take().startswith(b"begin")
    one.say(wire, b"ok\n")
    assert client.take() == b"ok\n"
    one.say(client, f"get {keys[0]}\nget {keys[1]}\n".encode())
    assert wire.take() == f"get {keys[0]}\n".encode()
    one.say(wire, b"value\n")
    first, second = client.take().splitlines()
    assert first == b"value" and second.startswith(b"fail unsupported")
    assert len(one.network.upstreams) == 1
