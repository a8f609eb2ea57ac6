"""The line between a supervisor and a worker: messages and descriptors, in their order, whatever the system takes."""

from __future__ import annotations

import os
import resource
import socket
from typing import Any

import pytest
from loop import Loop, fired
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure

from metaproxy.workers.channel import AskFailed, Channel, Gone


class End:
    """One end. received: (message, what could be read from the descriptor that came along); answer: gives answers."""

    def __init__(self, sock: socket.socket, loop: Loop) -> None:
        self.received: list[tuple[Any, bytes | None]] = []
        self.losses = 0
        self.answer: Any = lambda message: None
        self.channel = Channel(sock, loop, self._received, self._lost)

    def _received(self, message: object, descriptor: int) -> object:
        content = None
        if descriptor >= 0:
            content = os.read(descriptor, 100)
            os.close(descriptor)
        self.received.append((message, content))
        return self.answer(message)

    def _lost(self) -> None:
        self.losses += 1

    @property
    def messages(self) -> list[Any]:
        return [message for message, _ in self.received]


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def ends(loop: Loop) -> tuple[End, End]:
    one, other = socket.socketpair()
    return End(one, loop), End(other, loop)


def file_with(content: bytes) -> int:
    """A descriptor that content can be read from."""
    out, into = os.pipe()
    os.write(into, content)
    os.close(into)
    return out


def tell_with_file(end: End, number: int, message: object) -> None:
    descriptor = file_with(b"%d" % number)
    end.channel.tell(message, descriptor)
    os.close(descriptor)


def test_messages_arrive_in_their_order(loop: Loop, ends: tuple[End, End]) -> None:
    for number in range(100):
        ends[0].channel.tell(number)
    loop.turn()
    assert ends[1].messages == [*range(100)]
    assert ends[0].messages == []


def test_a_descriptor_arrives_with_its_message_and_the_senders_may_be_closed_at_once(
    loop: Loop, ends: tuple[End, End]
) -> None:
    ends[0].channel.tell("before")
    tell_with_file(ends[0], 1, "first")
    ends[0].channel.tell("between")
    tell_with_file(ends[0], 2, "second")
    loop.turn()
    assert ends[1].received == [("before", None), ("first", b"1"), ("between", None), ("second", b"2")]


def test_what_the_system_does_not_take_waits_with_its_descriptors_and_keeps_its_order(loop: Loop) -> None:
    one, other = socket.socketpair()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    sender = End(one, loop)
    for number in range(60):
        if number % 3:
            tell_with_file(sender, number, (number, b"x" * (number * 500)))
        else:
            sender.channel.tell((number, b"x" * (number * 500)))
    assert sender.channel.waiting > 0
    receiver = End(other, loop)
    loop.until(lambda: len(receiver.received) == 60)
    assert sender.channel.waiting == 0
    assert [message[0] for message in receiver.messages] == [*range(60)]
    assert [len(message[1]) for message in receiver.messages] == [number * 500 for number in range(60)]
    assert [content for _, content in receiver.received] == [b"%d" % one if one % 3 else None for one in range(60)]


def test_a_message_larger_than_any_buffer_arrives_whole(loop: Loop, ends: tuple[End, End]) -> None:
    ends[0].channel.tell(b"x" * 5_000_000)
    loop.until(lambda: ends[1].received)
    assert len(ends[1].messages[0]) == 5_000_000


def test_a_question_is_answered_also_later_and_out_of_turn(loop: Loop, ends: tuple[End, End]) -> None:
    later: Deferred[str] = Deferred()
    ends[1].answer = {"slow": later, "fast": "at once"}.get
    slow, fast = fired(ends[0].channel.ask("slow")), fired(ends[0].channel.ask("fast"))
    loop.turn()
    assert (slow, fast) == ([], ["at once"])
    later.callback("in the end")
    loop.turn()
    assert slow == ["in the end"]


def test_both_ends_may_ask_at_the_same_time(loop: Loop, ends: tuple[End, End]) -> None:
    for end in ends:
        end.answer = lambda message: message * 2
    answers = fired(ends[0].channel.ask(3)), fired(ends[1].channel.ask(5))
    loop.turn()
    assert answers == ([6], [10])


def test_an_error_of_the_other_end_is_the_answers_failure_and_the_line_goes_on(
    loop: Loop, ends: tuple[End, End]
) -> None:
    ends[1].answer = lambda message: 1 // message
    (wrong, right) = fired(ends[0].channel.ask(0)), fired(ends[0].channel.ask(1))
    loop.turn()
    assert wrong[0].check(AskFailed)
    assert "ZeroDivisionError" in str(wrong[0].value)
    assert right == [1]


def test_an_error_over_what_needs_no_answer_is_logged_and_the_line_goes_on(loop: Loop, ends: tuple[End, End]) -> None:
    ends[1].answer = lambda message: 1 // message
    ends[0].channel.tell(0)
    ends[0].channel.tell(1)
    loop.turn()
    assert ends[1].messages == [0, 1]


def test_the_end_of_the_other_side_is_noticed_once_and_questions_fail(loop: Loop, ends: tuple[End, End]) -> None:
    never: Deferred[None] = Deferred()
    ends[1].answer = lambda message: never
    asked = fired(ends[0].channel.ask("anything"))
    loop.turn()
    ends[1].channel.close()
    loop.turn()
    assert ends[0].losses == 1
    assert ends[1].losses == 0  # it closed the line itself
    assert asked[0].check(Gone)
    assert fired(ends[0].channel.ask("more"))[0].check(Gone)
    ends[0].channel.tell("goes nowhere")
    ends[0].channel.close()
    assert ends[0].losses == 1


def test_what_the_reactor_says_of_a_broken_line_is_its_end_as_well(loop: Loop, ends: tuple[End, End]) -> None:
    ends[0].channel.connectionLost(Failure(ConnectionLost()))
    ends[0].channel.connectionLost(Failure(ConnectionLost()))
    assert ends[0].losses == 1


def test_descriptors_that_wait_are_closed_with_the_line(loop: Loop) -> None:
    one, other = socket.socketpair()
    sender = End(one, loop)
    while not sender.channel.waiting:
        sender.channel.tell(b"x" * 10_000)
    out, into = os.pipe()
    sender.channel.tell("with a descriptor", into)
    os.close(into)
    sender.channel.close()
    other.close()
    assert os.read(out, 1) == b""  # nobody has the writing end any more
    os.close(out)


def test_a_descriptor_that_this_process_may_not_open_leaves_its_message_without_one(
    loop: Loop, ends: tuple[End, End]
) -> None:
    tell_with_file(ends[0], 1, "too many")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        ends[1].channel.doRead()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    tell_with_file(ends[0], 2, "enough")
    loop.turn()
    assert ends[1].received == [("too many", None), ("enough", b"2")]


def test_a_message_may_close_the_line(loop: Loop, ends: tuple[End, End]) -> None:
    ends[1].answer = lambda message: ends[1].channel.close()
    ends[0].channel.tell("close")
    ends[0].channel.tell("is not handled")
    loop.turn()
    assert ends[1].messages == ["close"]
    assert ends[0].losses == 1
