"""Answers that a route gives again for a time."""

from __future__ import annotations

from typing import Any

from bank import BankStage
from harness import Wire

from metaproxy.message import ErrorKind, Reply
from metaproxy.proxy.answer_cache import LARGEST, AnswerCache


class Cached(BankStage):
    """A stage whose only route keeps answers for a second; denied: words that a filter refuses."""

    def __init__(self, most: int = 1 << 20, denied: tuple[str, ...] = ()) -> None:
        def refuse(exchange: Any) -> Reply | None:
            return Reply(ErrorKind.DENIED, "no") if exchange.get("word") in denied else None

        self.cache = AnswerCache(1.0, lambda: self.clock.seconds(), most)
        super().__init__(hooks={"on_request": (refuse, self.cache.look), "on_response": (self.cache.keep,)})

    def ask(self, client: Wire, line: bytes, answer: bytes) -> tuple[bytes, bool]:
        """What the client gets, and whether a server was asked."""
        self.say(client, line)
        for wire in self.upstreams:
            data = wire.take()
            if data.startswith(b"become"):
                self.say(wire, b"clean\n")
                data = wire.take()
            if data:
                self.say(wire, answer)
                return client.take(), True
        return client.take(), False


def test_an_answer_is_given_again_to_all_clients_for_its_time() -> None:
    stage = Cached()
    ann, bob = stage.enter(), stage.enter()
    assert stage.ask(ann, b"read a\n", b"i one\n") == (b"i one\n", True)
    assert stage.ask(ann, b"read a\n", b"i two\n") == (b"i one\n", False)
    assert stage.ask(bob, b"read a\n", b"i two\n") == (b"i one\n", False)
    assert stage.ask(bob, b"read b\n", b"i other\n") == (b"i other\n", True)
    stage.clock.advance(1.0)
    assert stage.ask(bob, b"read a\n", b"i two\n") == (b"i two\n", True)
    assert stage.route.reply_target.counts.cached == 2


def test_clients_in_another_state_get_their_own() -> None:
    stage = Cached()
    ann, bob = stage.enter(), stage.enter()
    stage.ask(bob, b"set blue\n", b"i set\n")
    assert stage.ask(ann, b"read a\n", b"i one\n") == (b"i one\n", True)
    assert stage.ask(bob, b"read a\n", b"i blue\n") == (b"i blue\n", True)


def test_what_may_write_fails_or_is_in_a_transaction_is_never_kept() -> None:
    stage = Cached()
    ann = stage.enter()
    for _ in range(2):
        assert stage.ask(ann, b"write a\n", b"i done\n") == (b"i done\n", True)
        assert stage.ask(ann, b"read bad\n", b"f no\n") == (b"f no\n", True)
        assert stage.ask(ann, b"read long\n", b"[\nrow\n]i\n") == (b"[\nrow\n]i\n", True)
    stage.ask(ann, b"read a\n", b"i one\n")
    stage.ask(ann, b"begin\n", b"t begun\n")
    assert stage.ask(ann, b"read a\n", b"t mine\n") == (b"t mine\n", True)
    stage.ask(ann, b"commit\n", b"i done\n")
    assert stage.ask(ann, b"read a\n", b"i two\n") == (b"i one\n", False)


def test_filters_decide_before_an_answer_is_given_again() -> None:
    denied = ["nothing"]
    stage = Cached(denied=denied)  # type: ignore[arg-type]  # a list, so that it can change
    ann = stage.enter()
    stage.ask(ann, b"read a\n", b"i one\n")
    denied.append("read")
    assert stage.ask(ann, b"read a\n", b"i one\n") == (b"error denied\n", False)


def test_answers_are_bounded_in_bytes_the_oldest_makes_room() -> None:
    stage = Cached(most=30)
    ann = stage.enter()
    for name in ("a", "b", "c"):
        stage.ask(ann, f"read {name}\n".encode(), b"i 12345678\n")
    assert len(stage.cache) == 2
    assert stage.ask(ann, b"read c\n", b"i new\n")[1] is False
    assert stage.ask(ann, b"read a\n", b"i new\n")[1] is True
    big = b"i " + b"x" * LARGEST + b"\n"
    stage.ask(ann, b"read big\n", big)
    assert stage.ask(ann, b"read big\n", big)[1] is True
