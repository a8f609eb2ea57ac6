"""A cluster that gets copies which its codec makes: how many, where they go, what is a failure."""

from __future__ import annotations

from harness import HEAD, Quill, Stage, Wire, answer, call

from metaproxy.balancers.round_robin import RoundRobin
from metaproxy.cluster.cluster import Cluster
from metaproxy.cluster.endpoint import Endpoint
from metaproxy.message import FrameError, Kind, Message
from metaproxy.proxy.mirror import Mirror
from metaproxy.proxy.mirror_target import MirrorTarget


class Making(Quill):
    """What speaks to a mirror whose copies are made: two of each call, none of one with the body `no`."""

    keeps_keys = True

    def copied(self, request: Message) -> list[Message]:
        if b"bad" in request.frame:
            raise FrameError("bad")
        if b"no" in request.frame:
            return []
        made = Message(Kind.REQUEST, call(1, body=b"1")), Message(Kind.REQUEST, call(1, body=b"2"))
        for one in made:
            one.override_key = "key"
        return list(made)


class Made(Stage):
    """A stage whose route copies to a cluster `shadow` at ports from 2000 on."""

    def __init__(self, endpoints: int = 1) -> None:
        super().__init__(codec=Quill())
        addresses = [Endpoint(f"127.0.0.1:{2000 + number}") for number in range(endpoints)]
        self.shadow = Cluster("shadow", Making(), addresses, RoundRobin, request_timeout=5.0)
        self.target = MirrorTarget(self.shadow)
        self.snapshot.routes.routes[0].mirror = Mirror([self.target], lambda: 0.0)

    @property
    def counts(self) -> dict[str, int]:
        found = {name: getattr(self.target.counts, name) for name in type(self.target.counts).__slots__}
        return {name: number for name, number in found.items() if number}

    def wire(self, port: int) -> Wire:
        return next(wire for wire in self.network.upstreams if wire.peer.endswith(f":{port}"))

    @property
    def other(self) -> Wire:
        return self.wire(2000)


def test_what_a_codec_makes_of_a_request_is_copied() -> None:
    stage = Made()
    client = stage.client()
    stage.say(client, call(7) + call(8, body=b"no") + call(9, body=b"bad"))
    assert stage.other.take() == call(1, body=b"1") + call(2, body=b"2")
    assert stage.counts == {"requests": 2, "dropped": 1}


def test_an_error_that_answers_a_copy_that_was_made_is_a_failure() -> None:
    stage = Made()
    stage.say(stage.client(), call(7))
    stage.say(stage.other, HEAD.pack(11, 1, 0x80) + b"no" + answer(2))
    assert stage.counts == {"requests": 2, "failures": 1}
    assert stage.target.copies == 0


def test_the_place_of_a_copy_that_was_made_is_a_hint() -> None:
    stage = Made(endpoints=2)
    kept = stage.shadow.kept
    assert kept is not None
    first, second = stage.shadow.endpoints
    kept.keep(first, "key", True)
    client = stage.client()
    stage.say(client, call(7))
    assert len(stage.wire(2000).take()) == 2 * len(call(1, body=b"1"))
    stage.wire(2000).end()
    assert (kept.find("key"), stage.counts) == (None, {"requests": 2, "failures": 2})
    kept.keep(first, "key", True)
    stage.shadow.update([second])
    stage.say(client, call(8))
    assert len(stage.wire(2001).take()) == 2 * len(call(1, body=b"1"))
    assert stage.counts == {"requests": 4, "failures": 2}
