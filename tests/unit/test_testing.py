"""The checks of the contract: what keeps it passes, and each way to break it is named."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from zope.interface import implementer

from metaproxy.codecs import framing
from metaproxy.codecs.framing import Codec, LengthFramed
from metaproxy.interfaces import IEndpoint, ILoadBalancer, IOnComplete, IOnRequest
from metaproxy.message import Correlation, ErrorKind, FrameError, Kind, Message, Mutation, Part, Side
from metaproxy.testing import FakeEndpoint, check_balancer, check_codec, check_filter, hexdump

sys.path.insert(0, str(Path(__file__).parents[2] / "docs" / "examples"))
from quill import HEAD, Quill

CALL_7 = bytes.fromhex("0000000f 0000000000000007 04 6563686f 6869")  # echo("hi")
CALL_8 = bytes.fromhex("0000000d 0000000000000008 03 736179 21")  # say("!")
ANSWER_7 = bytes.fromhex("0000000b 0000000000000007 00 6869")
ERROR_8 = bytes.fromhex("0000000b 0000000000000008 80 6e6f")


def refusal(
    codec: Any, client: Sequence[bytes] = (CALL_7, CALL_8), server: Sequence[bytes] = (ANSWER_7, ERROR_8)
) -> str:
    with pytest.raises(AssertionError) as caught:
        check_codec(codec, client, server)
    return str(caught.value).partition("\n  0000")[0]  # what is below is a hexdump


def test_the_codec_of_the_tutorial_keeps_the_contract() -> None:
    check_codec(Quill(), [CALL_7, CALL_8], [ANSWER_7, ERROR_8])


class Lines(Codec):
    """A second kind of codec that keeps it: no ids, text lines, metadata that can be changed, split by words."""

    name = "lines"
    correlation = Correlation.FIFO
    connections = "pool"
    mutable = ""

    def session(self, side: Side, max_frame: int) -> LineSession:
        return LineSession(side, max_frame)

    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes:
        clean = "".join(c if c.isprintable() else " " for c in text)
        return b"" if request.kind is Kind.ONEWAY else f"-{kind.value} {clean}\n".encode()

    def mutate(self, message: Message, mutation: Mutation) -> bytes:
        words = message.frame.decode("utf-8", "surrogateescape").split()
        gone = {*mutation.remove, *mutation.set}
        kept = [word for word in words if word.partition("=")[0] not in gone]
        kept += [f"{key}={value}" for key, value in mutation.set.items()]
        return (" ".join(kept) + "\n").encode("utf-8", "surrogateescape")

    def split(self, request: Message, owner: Callable[[str], object]) -> list[Part] | None:
        word, *keys = request.frame.split()
        if word != b"all" or len({owner(key.decode("latin-1")) for key in keys}) < 2:
            return None
        return [Part(Message(Kind.REQUEST, b"all %s\n" % key), i) for i, key in enumerate(keys)]

    def merge(self, request: Message, parts: Sequence[Part], answers: Sequence[Message]) -> bytes:
        """The worst of them."""
        return next((answer.frame for answer in answers if answer.kind is Kind.ERROR), answers[0].frame)


class LineSession(framing.Lines):
    def __init__(self, side: Side, max_frame: int) -> None:
        super().__init__(self.parse, max_frame)
        self.side = side

    def parse(self, frame: bytes) -> Message:
        words = frame.decode("utf-8", "surrogateescape").split()
        if not words:
            raise FrameError("empty line")
        metadata = {key: value for key, _, value in (word.partition("=") for word in words[1:])}
        metadata |= {key.lower(): value for key, value in metadata.items()}
        if self.side is Side.SERVER:
            return Message(Kind.ERROR if frame[:1] == b"-" else Kind.RESPONSE, frame, metadata=metadata)
        if words[0] == "ping":
            return Message(Kind.HEARTBEAT, frame, metadata=metadata, answer=b"pong\n")
        return Message(Kind.ONEWAY if words[0] == "tell" else Kind.REQUEST, frame, metadata=metadata)


LINES = [b"get a User=bob\n", b"ping\n", b"tell b\n", b"all a b\n"], [b"+fine\n", b"-no\n"]


def test_a_codec_without_ids_whose_metadata_can_be_changed_keeps_the_contract() -> None:
    check_codec(Lines(), *LINES)


def test_prepare_brings_a_session_to_where_the_frames_make_sense() -> None:
    class Polite(LineSession):
        greeted = False

        def receive(self, data: bytes) -> list[Message]:
            if not self.greeted:
                self.error = self.error or FrameError("no greeting")
            return super().receive(data)

    class Greeting(Lines):
        def session(self, side: Side, max_frame: int) -> Polite:
            return Polite(side, max_frame)

    def greet(session: Any, side: Side) -> None:
        session.greeted = True

    check_codec(Greeting(), *LINES, prepare=greet)
    assert refusal(Greeting(), *LINES).startswith("client[0]: session.error is no greeting.")


def test_the_codec_must_have_all_of_the_interface() -> None:
    class Nameless(Quill):
        name = ""

    class Odd(Quill):
        connections = "many"

    class NoKeys(Quill):
        keys: Any = ["service"]

    assert refusal(Nameless()) == "name is ''; it must say what `protocol:` says"
    assert refusal(Odd()) == "connections is 'many'; it must be 'multiplex', 'pool', 'transaction' or 'pinned'"
    assert refusal(NoKeys()) == "keys is ['service']; it must be a dict of str to str"
    assert "does not implement" in refusal(object()) or "provide" in refusal(object())


@pytest.mark.parametrize(
    ("client", "server", "text"),
    [
        ([], [ANSWER_7], "client=[] checks nothing; give at least one whole frame"),
        ([CALL_7], [], "server=[] checks nothing; give at least one whole frame"),
        ([b""], [ANSWER_7], "client[0] has 0 bytes; allowed are 1 to 1048576"),
        (["text"], [ANSWER_7], "client[0] is str; give bytes"),
        ([CALL_7 + CALL_8], [ANSWER_7], "client[0]: 2 messages instead of one"),
        ([CALL_7[:-1]], [ANSWER_7], "client[0]: 0 messages instead of one"),
        ([CALL_7 + b"\0"], [ANSWER_7], "client[0]: buffered is 1 after a whole frame."),
        ([ANSWER_7], [ANSWER_7], "no frame of client=[...] is a request that is forwarded; give at least one"),
        ([bytes(13)], [ANSWER_7], "client[0]: session.error is frame of 4 bytes; allowed are 13 to 1048576."),
    ],
)
def test_the_frames_given_must_be_whole_and_hold_a_request(client: Any, server: list[bytes], text: str) -> None:
    assert refusal(Quill(), client, server).startswith(text)


class Broken(Quill):
    """Quill with another session or message; each test breaks one thing."""

    def __init__(self, wrap: type | None = None, change: Callable[[Message], object] | None = None) -> None:
        self.wrap, self.change = wrap or LengthFramed, change

    def session(self, side: Side, max_frame: int) -> LengthFramed:
        made: LengthFramed = self.wrap(
            13, lambda data, at: 4 + HEAD.unpack_from(data, at)[0], self.parse, max_frame, self.renumber
        )
        return made

    def parse(self, frame: bytes) -> Message:
        message = super().parse(frame)
        if self.change is not None:
            self.change(message)
        return message


def setting(name: str, value: object) -> Callable[[Message], object]:
    return lambda message: setattr(message, name, value)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (setting("id", -1), "client[0]: id is -1; allowed are 64 bits"),
        (setting("kind", 0), "kind is 0, no Kind. Fed:"),
        (setting("frame", bytearray(b"x")), "frame is no bytes: bytearray(b'x'). Fed:"),
        (setting("answer", "pong"), "client[0]: answer is 'pong'; it must be bytes, or None"),
        (setting("metadata", {"size": 7}), "client[0]: metadata 'size': 7; both must be str"),
        (
            setting("metadata", {"User": "bob"}),
            "client[0]: metadata has 'User' but not 'user': give each key as spelled and in lower case",
        ),
        (
            setting("more", lambda message: {"y": 1}["x"]),
            "client[0]: get() (`more`) raised KeyError('x'); it may raise FrameError only",
        ),
    ],
)
def test_messages_must_be_as_the_contract_says(change: Callable[..., Any], text: str) -> None:
    assert refusal(Broken(change=change)).startswith(text)


def test_get_may_fail_once_only() -> None:
    class Angry(Message):
        def get(self, key: str) -> str | None:
            raise FrameError("again")

    class Codec(Quill):
        def parse(self, frame: bytes) -> Message:
            return Angry(Kind.REQUEST, frame, 7)

    assert refusal(Codec()) == "client[0]: get() raised FrameError a second time: again"


def test_ids_are_for_protocols_that_have_them() -> None:
    class Fifo(Quill):
        correlation = Correlation.FIFO

    assert refusal(Fifo()) == "server[0]: id is 7; with Correlation.FIFO it must be 0"


def test_a_session_must_not_raise_for_what_a_peer_sent() -> None:
    class Raising(Quill):
        def parse(self, frame: bytes) -> Message:
            if len(frame) < 13 + frame[12] < 100:
                raise IndexError("service")
            return super().parse(frame)

    assert refusal(Raising()).startswith(
        "receive raised IndexError('service'); what a peer sent may only set `error`. Fed:"
    )


def test_an_error_must_be_a_frame_error() -> None:
    class Strange(LengthFramed):
        def receive(self, data: bytes) -> list[Message]:
            self.error = ValueError("odd")  # type: ignore[assignment]
            return []

    assert refusal(Broken(Strange)) == "session.error is ValueError('odd'); it must be a FrameError. Fed:"


def test_receive_must_give_a_list_of_messages() -> None:
    class Lazy(LengthFramed):
        def receive(self, data: bytes) -> Any:
            return iter(super().receive(data))

    class Other(LengthFramed):
        def receive(self, data: bytes) -> list[Any]:
            return [message.frame for message in super().receive(data)]

    assert "it must give a list of Messages" in refusal(Broken(Lazy))
    assert "it must give a list of Messages" in refusal(Broken(Other))


def test_a_cut_stream_must_give_the_same_messages() -> None:
    class Forgetful(LengthFramed):
        def receive(self, data: bytes) -> list[Message]:
            messages = super().receive(data)
            if len(self._held) == 17:
                self._held[-1:] = b"\0"
            return messages

    text = refusal(Broken(Forgetful))
    assert text.startswith(
        "cut into pieces of [1, 1, 1, 1, 1, 1, 1, 1, ...] bytes, the client's stream gives [Message(R"
    )
    assert "; in one read it gives [Message(REQUEST, id=7, 19 bytes" in text


def test_a_cut_stream_must_end_with_the_same_error() -> None:
    class Telling(LengthFramed):
        def receive(self, data: bytes) -> list[Message]:
            messages = super().receive(data)
            if self.error is not None and not self.error.args[0].startswith("of "):
                self.error = FrameError(f"of {len(data)} bytes: {self.error}")
            return messages

    text = refusal(Broken(Telling))
    assert text.startswith("a bad frame behind a good one of the client: in one read [Message(REQUEST, id=7, 19 bytes")
    assert " and error of 3" in text


def test_a_frame_over_the_bound_must_be_refused() -> None:
    class Boundless(Broken):
        def session(self, side: Side, max_frame: int) -> LengthFramed:
            return super().session(side, 1 << 30)

    assert "passed max_frame=18: error is None, messages [Message(REQUEST, id=7" in refusal(Boundless())


def test_a_session_must_not_hold_more_than_the_bound() -> None:
    class Hoarding(LengthFramed):
        def receive(self, data: bytes) -> list[Message]:
            messages = super().receive(data)
            self.buffered += 1 << 20
            return messages

    assert refusal(Broken(Hoarding)) == "client[0]: buffered is 1048576 after a whole frame. Fed:"


def test_nothing_may_be_parsed_after_a_bad_frame() -> None:
    class Stubborn(LengthFramed):
        def receive(self, data: bytes) -> list[Message]:
            before, self.error = self.error, None
            messages = super().receive(data)
            self.error = before or self.error
            return messages

    assert "nothing more must be parsed" in refusal(Broken(Stubborn))


def test_send_must_put_the_id_into_the_bytes() -> None:
    class Deaf(Quill):
        def renumber(self, frame: bytes, id: int) -> bytes:
            return frame

    assert refusal(Deaf()) == "client[0], sent under id 1: its bytes decode with id 7"


def test_send_must_change_nothing_but_the_id() -> None:
    class Clumsy(Quill):
        def renumber(self, frame: bytes, id: int) -> bytes:
            return super().renumber(frame, id)[:-1] + b"?"

    class Renaming(Quill):
        def renumber(self, frame: bytes, id: int) -> bytes:
            return super().renumber(frame, id).replace(b"echo", b"ocho")

    assert refusal(Clumsy()).startswith("client[0], sent under id 1, then under its own id 7 again: other bytes. They")
    assert refusal(Renaming()) == "client[0], sent under id 1: its bytes decode with service 'ocho'; it was 'echo'"


def test_metadata_may_hold_the_id_itself() -> None:
    class Numbered(Quill):
        def parse(self, frame: bytes) -> Message:
            message = super().parse(frame)
            message.metadata = {**(message.metadata or {}), "number": str(message.id)}
            return message

    check_codec(Numbered(), [CALL_7, CALL_8], [ANSWER_7, ERROR_8])


def test_send_must_give_bytes() -> None:
    class Silent(LengthFramed):
        def send(self, message: Message, id: int) -> bytes:
            return b""

    assert refusal(Broken(Silent)) == "client[0]: send() gave b''; it must give the bytes to write"


def test_open_must_give_bytes() -> None:
    class Quiet(LengthFramed):
        def open(self, profile: object, credentials: object) -> Any:
            return None

    assert refusal(Broken(Quiet)) == "open() gave None; it must give bytes, b'' for nothing to say"


def test_a_reply_must_be_an_error_under_the_request_s_id() -> None:
    class Success(Quill):
        def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes:
            return HEAD.pack(9, request.id, 0)

    class Lost(Quill):
        def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes:
            return HEAD.pack(9, 0, 0x80)

    class Half(Quill):
        def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes:
            return super().reply(request, kind, text)[:-1]

    start = "client[0]: reply(ErrorKind.NOT_FOUND, 'no route matched', '')"
    assert refusal(Success()).startswith(f"{start} decodes as [Message(RESPONSE, id=7, 13 bytes")
    assert refusal(Lost()) == f"{start} has id 0; the request's is 7"
    assert "decodes as [], error None, 28 bytes left; it must be one whole frame of Kind.ERROR." in refusal(Half())


def test_a_reply_must_stand_any_text() -> None:
    class Naive(Lines):
        def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes:
            return b"" if request.kind is Kind.ONEWAY else f"-{kind.value} {text}\n".encode()

    assert "and a second line', '') decodes as [Message(ERROR" in refusal(Naive(), *LINES)


def test_a_one_way_request_gets_no_reply() -> None:
    class Chatty(Lines):
        def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes:
            return f"-{kind.value}\n".encode()

    assert refusal(Chatty(), *LINES).startswith("client[2]: reply() to a one-way request gave bytes;")


def test_a_mutation_must_be_in_the_bytes() -> None:
    class Ignoring(Lines):
        def mutate(self, message: Message, mutation: Mutation) -> bytes:
            return message.frame

    class Losing(Lines):
        def mutate(self, message: Message, mutation: Mutation) -> bytes:
            return message.frame[:3] + b"\n" if mutation.set else message.frame

    class Adding(Lines):
        def mutate(self, message: Message, mutation: Mutation) -> bytes:
            return super().mutate(message, Mutation(mutation.set))

    class Refusing(Lines):
        def mutate(self, message: Message, mutation: Mutation) -> bytes:
            raise FrameError("not this one")

    assert refusal(Losing(), *LINES) == (
        "client[0], mutated: x-metaproxy-check was set to '1'; its bytes decode with None"
    )
    assert refusal(Adding(), *LINES) == (
        "client[0], mutated, then by Mutation(set={'x-metaproxy-check': '2'}, remove=()), then removed: its bytes"
        " decode with x-metaproxy-check '2': is it there twice? `set` replaces"
    )
    for codec in (Refusing(), Ignoring()):
        assert refusal(codec, *LINES).startswith("mutable is '', but no frame of client=[...] could be mutated")


def test_parts_of_a_split_must_be_whole_requests_and_more_than_one() -> None:
    class Single(Lines):
        def split(self, request: Message, owner: Callable[[str], object]) -> list[Part] | None:
            return [Part(request, 0)] if len({owner(key) for key in "ab"}) > 1 else None

    class Torn(Lines):
        def split(self, request: Message, owner: Callable[[str], object]) -> list[Part] | None:
            torn = Part(Message(Kind.REQUEST, b"get"), 0)
            return [torn, Part(request, 1)] if len({owner(key) for key in "ab"}) > 1 else None

    assert (
        refusal(Single(), *LINES)
        == "client[0], over 2 endpoints: split() gave one part; give None when it is not to be split"
    )
    assert refusal(Torn(), *LINES).startswith(
        "client[0], over 2 endpoints: part 0 of split(): 0 messages instead of one"
    )


@implementer(IOnRequest, IOnComplete)
class Good:
    def on_request(self, exchange: Any) -> None:
        return None

    def on_complete(self, exchange: Any) -> None:
        return None


def filter_refusal(filter: object) -> str:
    with pytest.raises(AssertionError) as caught:
        check_filter(filter)
    return str(caught.value)


def test_a_filter_with_some_of_the_hooks_keeps_the_contract() -> None:
    check_filter(Good())


def test_a_filter_must_say_that_it_is_one() -> None:
    class Undeclared:
        def on_request(self, exchange: Any) -> None:
            return None

    assert "is no IFilter: put @implementer(IOnRequest)" in filter_refusal(Undeclared())


def test_a_filter_must_declare_every_hook_that_it_has() -> None:
    @implementer(IOnRequest)
    class Half(Good):
        pass

    class Extra(Good):
        def on_response(self, exchange: Any) -> None:
            return None

    check_filter(Half())
    assert "has on_response but is no IOnResponse" in filter_refusal(Extra())


def test_a_filter_s_hooks_take_an_exchange() -> None:
    class TooFew(Good):
        def on_request(self) -> None:  # type: ignore[override]
            return None

    assert "on_request" in filter_refusal(TooFew())


def test_a_misspelt_hook_is_named() -> None:
    class Misspelt(Good):
        def on_respond(self, exchange: Any) -> None:
            return None

    assert filter_refusal(Misspelt()).endswith("has on_respond, which is never called; did you mean on_response?")


def test_a_coroutine_function_is_no_hook() -> None:
    class Modern(Good):
        async def on_request(self, exchange: Any) -> None:  # type: ignore[override]
            return None

    assert filter_refusal(Modern()).startswith("on_request is a coroutine function, and nothing awaits it")


@implementer(ILoadBalancer)
class Modulo:
    """As good as a hash that is taken modulo the number of endpoints can be."""

    uses_hash = True

    def __init__(self, endpoints: Sequence[IEndpoint]) -> None:
        by_address = sorted(endpoints, key=lambda endpoint: endpoint.address)
        self.turns = [endpoint for endpoint in by_address for _ in range(endpoint.weight)]

    def pick(self, hash_value: int) -> IEndpoint:
        return self.turns[hash_value % len(self.turns)]


def balancer_refusal(make: Callable[[Sequence[IEndpoint]], Any], **options: Any) -> str:
    with pytest.raises(AssertionError) as caught:
        check_balancer(make, **options)
    return str(caught.value)


def test_a_balancer_that_keeps_the_contract_passes_with_the_bound_that_it_can_keep() -> None:
    check_balancer(Modulo, disruption=1.0)


def test_keys_of_other_endpoints_must_stay_when_one_leaves() -> None:
    text = balancer_refusal(Modulo)
    assert text.startswith("when one of ten endpoints left, 89.")
    assert text.endswith("of the keys of the others moved; allowed are 25.0%")


def test_the_order_of_endpoints_must_not_decide() -> None:
    class Unsorted(Modulo):
        def __init__(self, endpoints: Sequence[IEndpoint]) -> None:
            self.turns = [endpoint for endpoint in endpoints for _ in range(endpoint.weight)]

    assert "two proxies would disagree; sort them by address" in balancer_refusal(Unsorted, disruption=1.0)


def test_the_same_hash_must_give_the_same_endpoint() -> None:
    class Moody(Modulo):
        count = 0

        def pick(self, hash_value: int) -> IEndpoint:
            self.count += 1
            return super().pick(hash_value + self.count // 1000)

    assert balancer_refusal(Moody) == "the same hash gave another endpoint when it was picked again"


def test_weights_must_be_followed_unless_they_are_not_meant_to() -> None:
    class Equal(Modulo):
        def __init__(self, endpoints: Sequence[IEndpoint]) -> None:
            self.turns = sorted(endpoints, key=lambda endpoint: endpoint.address)

    assert "by its weight it should get about 16.7%" in balancer_refusal(Equal)
    check_balancer(Equal, weighted=False, disruption=1.0)


def test_nobody_may_be_left_out() -> None:
    class First(Modulo):
        def pick(self, hash_value: int) -> IEndpoint:
            return self.turns[0]

    class Last(Modulo):
        def pick(self, hash_value: int) -> IEndpoint:
            return self.turns[-1]

    assert "got 100.0% of 6000 picks; by its weight it should get about 20.0%" in balancer_refusal(First)
    assert balancer_refusal(Last) == "FakeEndpoint('10.0.0.1:20880', 1) was not picked once in 6000 times"


def test_only_given_endpoints_may_be_picked() -> None:
    strange = FakeEndpoint("9.9.9.9:1")

    class Strange(Modulo):
        def pick(self, hash_value: int) -> IEndpoint:
            return strange if len(self.turns) == 5 else super().pick(hash_value)

    class Stranger(Modulo):
        def pick(self, hash_value: int) -> IEndpoint:
            return strange

    assert "which is none of the endpoints that the balancer was built with" in balancer_refusal(Strange)
    assert balancer_refusal(Stranger).startswith("the only endpoint was given, but picked were")


def test_a_balancer_must_say_whether_it_uses_the_hash() -> None:
    class Unsure(Modulo):
        uses_hash: Any = None

    assert balancer_refusal(Unsure) == "uses_hash is None; it must be True or False"
    assert "uses_hash" in balancer_refusal(lambda endpoints: _bare(endpoints))


def _bare(endpoints: Sequence[IEndpoint]) -> object:
    @implementer(ILoadBalancer)
    class Bare:  # type: ignore[misc]
        def pick(self, hash_value: int) -> IEndpoint:
            return endpoints[0]

    return Bare()


# -- what a failure shows


def test_every_failure_shows_the_bytes_in_hexadecimal_and_ascii() -> None:
    class Deaf(Quill):
        def renumber(self, frame: bytes, id: int) -> bytes:
            return frame

    with pytest.raises(AssertionError) as caught:
        check_codec(Deaf(), [CALL_7], [ANSWER_7])
    assert str(caught.value).endswith(
        "\n  00000000  00 00 00 0f 00 00 00 00  00 00 00 07 04 65 63 68  |.............ech|"
        "\n  00000010  6f 68 69                                          |ohi|"
        "\n  19 bytes"
    )


def test_a_hexdump_of_long_data_shows_its_start_and_its_end() -> None:
    rows = hexdump(bytes(range(256)) * 400).splitlines()
    assert len(rows) == 18
    assert rows[0].startswith("  00000000  00 01 02")
    assert rows[12] == "  ........  102144 bytes left out"
    assert rows[-2].startswith("  00018ff0  f0 f1")
    assert rows[-1] == "  102400 bytes"


def test_a_session_that_never_comes_back_is_ended_and_shown() -> None:
    class Endless(Quill):
        def parse(self, frame: bytes) -> Message:
            at = 0
            while frame[12] == 4 and at < len(frame):
                at -= 1
            return super().parse(frame)

    assert refusal(Endless()).startswith("receive did not come back: an endless loop")


def test_a_session_that_never_comes_back_is_ended_in_another_thread_too() -> None:
    class Endless(Quill):
        def parse(self, frame: bytes) -> Message:
            while frame[12] == 4:
                pass
            return super().parse(frame)

    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(refusal(Endless())))
    thread.start()
    thread.join()
    assert found[0].startswith("receive did not come back: an endless loop")
