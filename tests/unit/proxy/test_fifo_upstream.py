"""Answers in the order of the requests: what a server answers against the rules costs no other client its answers."""

from __future__ import annotations

from harness import LineCodec, Lines, Stage

from metaproxy.message import Kind, Message, Side


def test_an_answer_to_nothing_ends_its_connection_before_anything_more_is_handed_out() -> None:
    stage = Stage(codec=LineCodec())
    client = stage.client()
    stage.say(client, b"get a\n")
    stage.say(stage.server, b"a\nstray\nb\n")
    assert client.take() == b"a\n"
    assert stage.network.upstreams[0].closed
    assert stage.endpoints[0].counts.unmatched == 1


def test_a_one_way_request_that_is_answered_all_the_same_shifts_no_other_clients_answers() -> None:
    stage = Stage(codec=LineCodec())
    careless, other = stage.client(), stage.client()
    stage.say(other, b"get before\n")
    stage.say(careless, b"tell x\n")
    stage.say(other, b"get after\n")
    stage.say(careless, b"get mine\n")
    shared, another = stage.network.upstreams
    assert shared.take() == b"get before\ntell x\nget mine\n"
    assert another.take() == b"get after\n"
    stage.say(shared, b"before\nERROR\nmine\n")
    stage.say(another, b"after\n")
    assert other.take() == b"before\nafter\n"
    assert shared.closed


def test_the_connection_of_a_client_that_sent_one_way_requests_ends_with_it() -> None:
    stage = Stage(codec=LineCodec())
    client = stage.client()
    stage.say(client, b"tell x\n")
    client.end()
    stage.clock.advance(0)
    assert stage.server.closed and stage.cluster.breaker.connections == 0


class Fenced(Lines):
    """Asks for a line behind each one-way request, and swallows the answers up to it."""

    fenced = True

    def __init__(self, side: Side) -> None:
        super().__init__(side)
        self.open_fences = 0

    def send(self, message: Message, id: int) -> bytes:
        if message.kind is Kind.ONEWAY:
            self.open_fences += 1
            return message.frame + b"fence\n"
        return message.frame

    def receive(self, data: bytes) -> list[Message]:
        return [message for message in super().receive(data) if not self._swallowed(message)]

    def _swallowed(self, message: Message) -> bool:
        if not self.open_fences:
            return False
        self.open_fences -= message.frame == b"fence\n"
        return True


def test_behind_a_fence_a_connection_stays_shared() -> None:
    class FencedCodec(LineCodec):
        def session(self, side: Side, max_frame: int) -> Lines:
            return Fenced(side)

    stage = Stage(codec=FencedCodec())
    careless, other = stage.client(), stage.client()
    stage.say(careless, b"tell x\n")
    stage.say(other, b"get a\n")
    stage.say(stage.server, b"ERROR\nfence\na\n")
    assert other.take() == b"a\n"


class Skipping(Lines):
    """Drops lines over 10 bytes; a line `none` says that there is no answer."""

    def receive(self, data: bytes) -> list[Message]:
        return [self._judged(message) for message in super().receive(data)]

    def _judged(self, message: Message) -> Message:
        if self._side is Side.SERVER and message.frame == b"none\n":
            return Message(Kind.SILENCE, b"")
        too_long = self._side is Side.SERVER and len(message.frame) > 10
        return Message(Kind.SKIPPED, b"an answer of too many bytes") if too_long else message


class SkippingCodec(LineCodec):
    def session(self, side: Side, max_frame: int) -> Lines:
        return Skipping(side)


def test_an_answer_that_is_too_large_fails_its_own_request_and_no_other() -> None:
    stage = Stage(codec=SkippingCodec())
    clients = [stage.client() for _ in range(6)]
    for client in clients:
        stage.say(client, b"get a\n")
    stage.say(stage.server, b"a\n" * 2 + b"x" * 20 + b"\n" + b"a\n" * 3)
    taken = [client.take() for client in clients]
    assert taken[2].startswith(b"fail bad_response") and b"too many bytes" in taken[2]
    assert [*taken[:2], *taken[3:]] == [b"a\n"] * 5
    assert not stage.server.closed


def test_a_request_that_turns_out_to_get_no_answer_completes_and_its_client_gets_nothing() -> None:
    stage = Stage(codec=SkippingCodec())
    client = stage.client()
    stage.say(client, b"quiet\nget a\n")
    stage.say(stage.server, b"none\na\n")
    assert client.take() == b"a\n"
    assert stage.route.targets[0].counts.outcomes == {"oneway": 1, "ok": 1}
