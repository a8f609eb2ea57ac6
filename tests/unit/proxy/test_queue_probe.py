"""How long a socket waits for its turn, as the probe in their line tells it."""

from __future__ import annotations

import os
import select

import pytest
from twisted.internet.task import Clock

from metaproxy.proxy.queue_probe import QueueProbe


def test_it_tells_how_long_the_last_event_waited() -> None:
    clock = Clock()
    probe = QueueProbe(clock.seconds)
    assert probe.look() == 0.0
    clock.advance(0.03)
    probe.read()
    clock.advance(0.07)
    assert probe.look() == pytest.approx(0.03)
    probe.read()
    assert probe.look() == 0.0
    probe.close()


def test_one_whose_turn_does_not_come_waits_longer_at_each_look_and_is_sent_once() -> None:
    clock = Clock()
    probe = QueueProbe(clock.seconds)
    waits = []
    for _ in range(3):
        waits.append(probe.look())
        clock.advance(0.1)
    assert waits == pytest.approx([0.0, 0.1, 0.2])
    assert os.eventfd_read(probe.fd) == 1
    probe.close()


def test_it_is_readable_until_its_turn_has_come() -> None:
    probe = QueueProbe(Clock().seconds)
    with select.epoll() as poll:
        poll.register(probe.fd, select.EPOLLIN)
        assert poll.poll(0) == []
        probe.look()
        assert poll.poll(0) == [(probe.fd, select.EPOLLIN)]
        probe.on_events(select.EPOLLIN)
        assert poll.poll(0) == []
    probe.close()
