"""The work that a client or a server can make for the Redis codec: in proportion to the bytes that it sends."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from call_count import count_calls
from present import present
from redis_words import client, command, said, server

from metaproxy.codecs.framing import Session
from metaproxy.codecs.redis import inline

LOGIN = ["AUTH", "u", "p"]


def subscriber(many: int) -> Callable[[], object]:
    """Reads, sends and has confirmed many SUBSCRIBEs, then UNSUBSCRIBEs."""
    reader, upstream = client(), server()
    confirmed = "".join(f"*3\r\n$9\r\nsubscribe\r\n$5\r\n{n:05}\r\n:{n + 1}\r\n" for n in range(many)).encode()
    over = "".join(f"*3\r\n$11\r\nunsubscribe\r\n$5\r\n{n:05}\r\n:{many - n - 1}\r\n" for n in range(many)).encode()

    def work() -> None:
        for word, answers in (("SUBSCRIBE", confirmed), ("UNSUBSCRIBE", over)):
            for message in reader.receive(b"".join(said(f"{word} {n:05}") for n in range(many))):
                upstream.send(message, 0)
            for event in upstream.receive(answers):
                reader.send(event, 0)

    return work


def trickled(session: Session, stream: bytes) -> Callable[[], object]:
    return lambda: [session.receive(stream[at : at + 1]) for at in range(len(stream))]


WORK: dict[str, Callable[[int], Callable[[], object]]] = {
    "a HELLO with many options": lambda n: lambda: client(auth="x").receive(command("HELLO", "3", *LOGIN * n)),
    "a HELLO of a client that is logged in": lambda n: lambda: client().receive(command("HELLO", "3", *LOGIN * n)),
    "subscriptions": subscriber,
    "an error that trickles in": lambda n: trickled(server(), b"-" + b"x\r" * n + b"\r\n"),
    "a head that trickles in": lambda n: trickled(client(), b"*" + b"1" * n),
    "nested lists": lambda n: lambda: server().receive(b"*2\r\n" * n + b":1\r\n" * n),
    "many arguments": lambda n: lambda: client().receive(command("MGET", *["k"] * n)),
    "quotes": lambda n: lambda: inline.words(b'a"b" ' * n),
    "backslashes": lambda n: lambda: inline.words(b"'" + rb"\'" * n + b"'"),
}


@pytest.mark.parametrize("kind", WORK)
def test_twice_the_bytes_take_at_most_about_twice_the_work(kind: str) -> None:
    one, two = (count_calls(WORK[kind](many)) for many in (1000, 2000))
    assert two <= 2.5 * one


def test_a_hello_has_as_many_words_as_it_can_need() -> None:
    session = client()
    (message,) = session.receive(command("HELLO", "3", *LOGIN * 20000))
    assert message.answer == b"-ERR Syntax error in HELLO option 'u'\r\n"
    (message,) = session.receive(command("HELLO", "3", "AUTH", "default", "x", "SETNAME", "a", "SETNAME", "b"))
    assert present(message.answer).startswith(b"%7\r\n")


def test_of_a_line_that_trickles_in_each_byte_is_kept_once() -> None:
    session = server()
    for _ in range(200000):
        session.receive(b"-")
    assert session.buffered == 200000
    (message,) = session.receive(b"\r\n")
    assert len(message.frame) == 200002
