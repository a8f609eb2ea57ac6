from __future__ import annotations

from metaproxy.codecs.framing import Codec
from metaproxy.codecs.redis import Redis
from metaproxy.message import FrameError, Kind, Message, Mutation, Side
from metaproxy.recording.redaction import redacted


class Pairs(Codec):
    """A frame is `key=value;key=value`; keys are found in lower case, too."""

    name = "pairs"
    mutable = ""

    def mutate(self, message: Message, mutation: Mutation) -> bytes:
        pairs = dict(pair.split("=") for pair in message.frame.decode().split(";"))
        return ";".join(f"{key}={value}" for key, value in {**pairs, **mutation.set}.items()).encode()


def message(text: str) -> Message:
    pairs = dict(pair.split("=") for pair in text.split(";"))
    return Message(Kind.REQUEST, text.encode(), metadata={**{key.lower(): one for key, one in pairs.items()}, **pairs})


def test_a_frame_without_secrets_is_itself() -> None:
    one = message("method=say;user=bob")
    assert redacted(Pairs(), one) == (one.frame, ())


def test_secrets_are_masked_in_the_frame_under_the_peers_spelling() -> None:
    assert redacted(Pairs(), message("X-Api-Key=hunter2;user=bob")) == (b"X-Api-Key=****;user=bob", ("X-Api-Key",))


def test_a_value_that_logs_somebody_in_is_a_secret_under_any_key() -> None:
    assert redacted(Pairs(), message("who=eyJhbGciOiJI.eyJzdWIi.c2ln")) == (b"who=****", ("who",))


def test_a_secret_that_stands_elsewhere_in_the_frame_too_leaves_the_exchange_out() -> None:
    assert redacted(Pairs(), message("token=hunter2;note=hunter2")) is None


def test_a_codec_that_can_not_take_it_out_leaves_the_exchange_out() -> None:
    class Fixed(Pairs):
        mutable = "it has no place"

    class Broken(Pairs):
        def mutate(self, message: Message, mutation: Mutation) -> bytes:
            raise FrameError("no")

    assert redacted(Fixed(), message("token=hunter2")) is None
    assert redacted(Broken(), message("token=hunter2")) is None
    assert redacted(Fixed(), message("user=bob")) is not None


def test_redis_tells_which_commands_hold_or_tell_passwords() -> None:
    codec = Redis()

    def command(*words: bytes) -> Message:
        frame = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
        return codec.session(Side.CLIENT, 1 << 20).receive(frame)[0]

    for words in ((b"config", b"SET", b"requirepass", b"x"), (b"ACL", b"SETUSER", b"a", b">x")):
        assert codec.confidential(command(*words))
    harmless: list[tuple[bytes, ...]] = [(b"GET", b"password"), (b"SET", b"a", b"b"), (b"PING",)]
    for one in harmless:
        assert not codec.confidential(command(*one))
