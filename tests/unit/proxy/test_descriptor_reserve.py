from collections.abc import Iterator
from functools import partial

import pytest
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import provider

from metaproxy.proxy.descriptor_reserve import DescriptorReserve, soft_limit


@pytest.fixture
def lines() -> Iterator[list[LogEvent]]:
    found: list[LogEvent] = []

    @provider(ILogObserver)
    def keep(event: LogEvent) -> None:
        if event.get("log_namespace") == "metaproxy.proxy.descriptor_reserve":
            found.append(event)

    globalLogPublisher.addObserver(keep)
    yield found
    globalLogPublisher.removeObserver(keep)


def test_a_tenth_is_kept_back_but_sixteen_at_least_and_1024_at_most() -> None:
    limits = {64: 16, 1000: 100, 20_000: 1024, 1 << 20: 1024}
    assert {limit: DescriptorReserve(Clock(), partial(int, limit)).reserve for limit in limits} == limits


def test_clients_are_refused_before_connections_to_servers_are_and_both_are_counted() -> None:
    reserve = DescriptorReserve(Clock(), lambda: 64)
    assert [reserve.refuses_client(number, "here") for number in (47, 48)] == [False, True]
    assert [reserve.refuses_connect(number) for number in (48, 55, 56)] == [False, False, True]
    assert (reserve.refused_connections, reserve.failed_connects) == (1, 1)


def test_one_line_a_minute_says_the_limit_and_what_to_set(lines: list[LogEvent]) -> None:
    clock = Clock()
    reserve = DescriptorReserve(clock, lambda: 64)
    for _ in range(100):
        reserve.refuses_client(60, "127.0.0.1:80")
    (line,) = lines
    text = line["log_format"].format(**line)
    assert text.startswith("127.0.0.1:80: clients are refused: the process may have 64 file descriptors")
    assert "LimitNOFILE=" in text
    clock.advance(61)
    reserve.refuses_client(60, "127.0.0.1:80")
    assert len(lines) == 2


def test_a_limit_that_is_raised_while_the_process_runs_is_noticed() -> None:
    limits = [64]
    reserve = DescriptorReserve(Clock(), lambda: limits[0])
    assert reserve.refuses_client(50, "here")
    limits[0] = 1000
    reserve.look()
    assert not reserve.refuses_client(50, "here")


def test_that_clients_were_refused_is_known_for_as_long_as_is_asked() -> None:
    clock = Clock()
    reserve = DescriptorReserve(clock, lambda: 64)
    assert not reserve.refused_for(10.0)
    reserve.refuses_client(60, "here")
    clock.advance(9)
    assert reserve.refused_for(10.0)
    clock.advance(2)
    assert not reserve.refused_for(10.0)


def test_the_limit_is_that_of_the_process() -> None:
    assert soft_limit() > 0
