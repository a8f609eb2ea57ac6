"""What MySQL's and MariaDB's servers are asked for their role, and what their answers mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from mysql_words import column, eof, error

from metaproxy.codecs.mysql.packets import AUTOCOMMIT, ok_packet, packet, write_bytes
from metaproxy.codecs.mysql.roles import traits_of
from metaproxy.message import FrameError

_MORE = AUTOCOMMIT | 8
RUNS = {
    "Slave_IO_Running": "Yes", "Slave_SQL_Running": "Yes", "Seconds_Behind_Master": "0", "Master_Log_File": "log.1",
    "Read_Master_Log_Pos": "500", "Relay_Master_Log_File": "log.1", "Exec_Master_Log_Pos": "500",
}  # fmt: skip


def result(
    columns: Sequence[str], values: Sequence[Sequence[str | None]], deprecated: bool = False, status: int = AUTOCOMMIT
) -> bytes:
    pieces = [packet(bytes((len(columns),)), 1), *(column(name, 2) for name in columns)]
    if not deprecated:
        pieces.append(eof(3))
    for row in values:
        pieces.append(packet(b"".join(b"\xfb" if one is None else write_bytes(one.encode()) for one in row), 4))
    pieces.append(ok_packet(5, status, 0xFE) if deprecated else eof(5, status))
    return b"".join(pieces)


def variables(deprecated: bool = False, **values: str) -> bytes:
    return result(["Variable_name", "Value"], list(values.items()), deprecated, _MORE)


def status(*channels: dict[str, str | None], deprecated: bool = False) -> bytes:
    columns = list(channels[0]) if channels else list(RUNS)
    return result(columns, [list(channel.values()) for channel in channels], deprecated)


def traits(answer: bytes) -> dict[str, str]:
    return dict(traits_of(answer))


@pytest.mark.parametrize("deprecated", [False, True])
def test_a_server_that_may_be_written_to_and_follows_none_is_the_primary(deprecated: bool) -> None:
    answer = variables(deprecated, read_only="OFF", gtid_current_pos="0-1-17") + status(deprecated=deprecated)
    assert traits(answer) == {"role": "primary", "position": "17"}


@pytest.mark.parametrize("deprecated", [False, True])
def test_a_replica_says_how_far_behind_it_is_and_what_it_has(deprecated: bool) -> None:
    channel: dict[str, Any] = {**RUNS, "Seconds_Behind_Master": "3"}
    known = variables(deprecated, read_only="ON", gtid_slave_pos="0-1-16", gtid_binlog_pos="")
    answer = known + status(channel, deprecated=deprecated)
    assert traits(answer) == {"role": "replica", "lag": "3", "position": "16"}


def test_a_server_of_mysql_8_has_names_of_its_own() -> None:
    channel: dict[str, str | None] = {
        name.replace("Slave", "Replica").replace("Master", "Source"): value for name, value in RUNS.items()
    }
    known = variables(read_only="ON", super_read_only="ON", gtid_executed="a-b-c:1-5,\nd-e-f:1-7,g-h-i:1")
    assert traits(known + status(channel)) == {"role": "replica", "lag": "0", "position": "13"}


def test_a_server_that_follows_another_one_is_a_replica_even_if_it_may_be_written_to() -> None:
    channel: dict[str, Any] = RUNS
    assert traits(variables(read_only="OFF") + status(channel))["role"] == "replica"
    stopped: dict[str, Any] = {**RUNS, "Slave_IO_Running": "No", "Slave_SQL_Running": "No"}
    assert traits(variables(read_only="OFF") + status(stopped))["role"] == "primary", "it has been promoted"


def test_a_server_that_is_only_read_from_is_no_primary() -> None:
    assert traits(variables(read_only="ON") + status()) == {"role": "replica", "lag": "0"}


@pytest.mark.parametrize(
    ("channel", "lag"),
    [
        ({"Slave_IO_Running": "Connecting", "Seconds_Behind_Master": None}, "0"),
        ({"Slave_IO_Running": "Connecting", "Seconds_Behind_Master": None, "Exec_Master_Log_Pos": "400"}, "inf"),
        ({"Slave_IO_Running": "No", "Seconds_Behind_Master": None}, "inf"),
        ({"Slave_SQL_Running": "No", "Seconds_Behind_Master": None}, "inf"),
    ],
)
def test_what_can_not_be_behind_is_not_and_what_carries_nothing_out_is_for_ever(
    channel: dict[str, str | None], lag: str
) -> None:
    assert traits(variables(read_only="ON") + status({**RUNS, **channel}))["lag"] == lag


def test_of_several_channels_the_latest_counts() -> None:
    other: dict[str, Any] = {**RUNS, "Seconds_Behind_Master": "9"}
    channel: dict[str, Any] = RUNS
    assert traits(variables(read_only="ON") + status(channel, other))["lag"] == "9"


@pytest.mark.parametrize(
    "known",
    [
        {"gtid_current_pos": "0-1-5,1-2-7"},
        {"gtid_executed": "a-b:1-5:7-9"},
        {"gtid_executed": "a-b:3-9"},
        {"gtid_executed": ""},
        {"gtid_slave_pos": ""},
        {},
    ],
)
def test_what_is_no_position_in_one_log_is_not_told(known: dict[str, str]) -> None:
    answer = result(["Variable_name", "Value"], [("read_only", "OFF"), *known.items()], status=_MORE) + status()
    assert "position" not in traits(answer)


def test_where_the_state_of_replication_may_not_be_asked_read_only_decides() -> None:
    refused = error(1227, 9, "Access denied")
    assert traits(variables(read_only="OFF") + refused) == {"role": "primary"}
    assert traits(variables(read_only="ON") + refused) == {"role": "replica", "lag": "0"}


WHOLE = variables(read_only="OFF")


@pytest.mark.parametrize(
    "answer",
    [
        error(),
        variables(gtid_current_pos="0-1-1") + status(),
        WHOLE[:-9],
        WHOLE[:-3],
        WHOLE[:30],
        b"",
        packet(b"\2", 1),
    ],
    ids=["an error", "no read_only", "no end", "half an end", "half a column", "nothing", "no columns"],
)
def test_an_answer_that_tells_nothing_is_refused(answer: bytes) -> None:
    with pytest.raises(FrameError):
        traits_of(answer)
