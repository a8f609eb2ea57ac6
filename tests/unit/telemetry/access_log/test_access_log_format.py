from __future__ import annotations

import json
import re
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from log_lines import FakeClient, FakeExchange, line

from metaproxy.message import FrameError
from metaproxy.telemetry.access_log.format import FIELDS, MAX_VALUE, compile_format, harmless
from metaproxy.telemetry.roles import CompletedExchange


def test_the_usual_line() -> None:
    assert line("text") == (
        '[2023-11-14T22:13:20.250Z] front dubbo "org.Demo/hi" ok - 2.000 120 48 127.0.0.9:4321 main demo '
        '127.0.0.1:1000 "-"\n'
    )


@pytest.mark.parametrize(
    ("format", "shown"),
    [
        ("%START_TIME%", "2023-11-14T22:13:20.250Z"),
        ("%START_TIME(%d/%b/%Y %H:%M:%S)%", "14/Nov/2023 22:13:20"),
        ("%START_TIME(%s)%", "1700000000"),
        ("%START_TIME(%S.%6f)%", "20.250000"),
        ("%START_TIME(%3f %1f|%S)%", "250 2|20"),
        ("%START_TIME(%9f)%", "250000000"),
        ("%DURATION%", "2"),
        ("%DURATION(ms)%", "2.000"),
        ("%DURATION(us)%", "2000"),
        ("%LISTENER% %PROTOCOL% %ROUTE_NAME%", "front dubbo main"),
        ("%UPSTREAM_CLUSTER% %UPSTREAM_HOST%", "demo 127.0.0.1:1000"),
        ("%BYTES_RECEIVED% %BYTES_SENT%", "120 48"),
        ("%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%", "0 - -"),
        ("%OUTCOME% %OPERATION%", "ok org.Demo/hi"),
        ("%DOWNSTREAM_REMOTE_ADDRESS%", "127.0.0.9:4321"),
        ("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_REMOTE_PORT%", "127.0.0.9 4321"),
        ("%DOWNSTREAM_LOCAL_ADDRESS%", "[::1]:80"),
        ("%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_LOCAL_PORT%", "::1 80"),
        ("%REQ(operation)%", "org.Demo/hi"),
        ("%REQ(OPERATION)%", "org.Demo/hi"),
        ("%REQ(operation):3%", "org"),
        ("%REQ(none)%", "-"),
        ("%REQ(none?operation)%", "org.Demo/hi"),
        ("%RESP(server)% %RESP(none)%", "blue -"),
        ("%RESP(Server)%", "blue"),
        ("%UPSTREAM_CLUSTER:2%", "de"),
        ("100%% %DURATION%", "100% 2"),
        ("%DURATION%\n", "2"),
    ],
)
def test_an_operator_shows(format: str, shown: str) -> None:
    assert line(format) == shown + "\n"


@pytest.mark.parametrize(
    ("outcome", "code", "flag"),
    [
        ("ok", 0, "-"), ("oneway", 0, "-"), ("error", 1, "-"), ("not_found", 1, "NR"), ("no_cluster", 1, "NC"),
        ("no_endpoint", 1, "UH"), ("connect", 1, "UF"), ("reset", 1, "UC"), ("timeout", 1, "UT"), ("overload", 1, "UO"),
        ("limited", 1, "RL"), ("denied", 1, "UAEX"), ("bad_request", 1, "DPE"), ("bad_response", 1, "UPE"),
        ("downstream_gone", 1, "DC"), ("internal", 1, "-"), ("draining", 1, "-"), ("unsupported", 1, "-"),
    ],
)  # fmt: skip
def test_an_outcome_has_a_code_and_a_flag_of_envoys(outcome: str, code: int, flag: str) -> None:
    assert line("%RESPONSE_CODE% %RESPONSE_FLAGS%", FakeExchange(outcome=outcome)) == f"{code} {flag}\n"


def test_keys_that_the_original_sets_still_work() -> None:
    keys = "%REQ(x-meta-protocol-application-protocol)% %RESP(x-meta-protocol-real-server-address)%"
    assert line(keys) == "dubbo 127.0.0.1:1000\n"


def test_what_is_not_there_is_a_dash() -> None:
    exchange = FakeExchange({}, response=None, cluster="-", upstream_address="-", client=FakeClient({}))
    operators = "%OPERATION% %RESP(a)% %UPSTREAM_CLUSTER% %UPSTREAM_HOST% %DOWNSTREAM_REMOTE_ADDRESS%"
    assert line(operators + " %DOWNSTREAM_REMOTE_PORT%", exchange) == "- - - - - -\n"


def test_a_clock_that_is_set_back_makes_no_negative_duration() -> None:
    exchange = FakeExchange(ended=1699999999.0)
    assert line("%DURATION% %DURATION(ms)% %DURATION(us)%", exchange) == "0 0.000 0\n"


def test_the_time_follows_from_second_to_second() -> None:
    template, reads = compile_format("%START_TIME(%H:%M:%S.%3f)%")
    times = (0.0015, 0.9995, 1.0, 59.5, 60.25)
    ended = [cast(CompletedExchange, FakeExchange(started=1700000000.0 + when)) for when in times]
    shown = [template % reads[0](exchange) for exchange in ended]
    assert shown == ["22:13:20.001\n", "22:13:20.999\n", "22:13:21.000\n", "22:14:19.500\n", "22:14:20.250\n"]


def test_an_offset_makes_unix_time_of_another_clock() -> None:
    assert line("%START_TIME%", FakeExchange(started=12.5), offset=1700000000.0) == "2023-11-14T22:13:32.500Z\n"


# -- what peers send


def test_a_client_can_forge_no_line() -> None:
    forged = 'x"\n[2023-11-14T22:13:20.250Z] front dubbo "ok\x1b[2K\u2028\u202e\\ \x00\udc80'
    (shown,) = line('"%REQ(operation)%"', FakeExchange({"operation": forged})).splitlines()
    assert shown == '"x\\"\\n[2023-11-14T22:13:20.250Z] front dubbo \\"ok\\x1b[2K\\u2028\\u202e\\\\ \\x00\\udc80"'


def test_printable_text_of_any_language_stays() -> None:
    assert line("%REQ(operation)%", FakeExchange({"operation": "größe/你好"})) == "größe/你好\n"


def test_a_value_is_cut() -> None:
    assert line("%REQ(operation)%", FakeExchange({"operation": "x" * 9999})) == "x" * MAX_VALUE + "\n"
    assert line("%REQ(operation):99999%", FakeExchange({"operation": "x" * 9999})) == "x" * MAX_VALUE + "\n"


def test_the_clients_address_is_none_that_it_sends() -> None:
    exchange = FakeExchange({"source.address": "10.0.0.1", "source.port": "1"})
    assert line("%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_REMOTE_PORT%", exchange) == "127.0.0.9:4321 4321\n"


class Undecodable:
    def get(self, key: str) -> str | None:
        raise FrameError("body cut")


def test_a_body_that_cant_be_decoded_does_no_harm() -> None:
    exchange: Any = FakeExchange(response=Undecodable())
    exchange.get = Undecodable().get
    assert line("%REQ(a)% %OPERATION% %RESP(a)% %DURATION%", exchange) == "- - - 2\n"
    assert json.loads(line("json", exchange))["operation"] is None


@given(st.text(st.characters(), max_size=40))
def test_whatever_a_peer_sends_is_one_line(value: Any) -> None:
    shown = harmless(value)
    assert shown.isprintable() and shown
    assert not re.search(r'(?<!\\)(\\\\)*"', shown)


# -- JSON


def test_json_has_types() -> None:
    assert json.loads(line("json")) == {
        "time": "2023-11-14T22:13:20.250Z", "listener": "front", "protocol": "dubbo", "operation": "org.Demo/hi",
        "outcome": "ok", "flags": None, "details": None, "duration_ms": 2.0, "bytes_received": 120, "bytes_sent": 48,
        "client": "127.0.0.9:4321", "route": "main", "cluster": "demo", "upstream": "127.0.0.1:1000",
        "request_id": None, "trace_id": None,
    }  # fmt: skip


def test_json_has_the_same_keys_whatever_happened() -> None:
    exchange = FakeExchange({}, response=None, route="-", cluster="-", upstream_address="-", outcome="not_found")
    shown = json.loads(line("json", exchange))
    assert list(shown) == list(FIELDS)
    assert [shown[name] for name in ("operation", "route", "cluster", "upstream")] == [None] * 4


def test_fields_may_be_chosen() -> None:
    fields = {
        "code": "%RESPONSE_CODE%",
        "user": "%REQ(user)%",
        "what": "%PROTOCOL% of %LISTENER%",
        "part": "%UPSTREAM_HOST:3%",
        "100%": "x",
    }
    assert json.loads(line(fields)) == {
        "code": 0, "user": None, "what": "dubbo of front", "part": "127", "100%": "x",
    }  # fmt: skip


@given(st.text(st.characters(), min_size=1, max_size=40))
def test_any_value_of_a_peer_is_json_in_one_line(value: Any) -> None:
    shown = line({"value": "%REQ(key)%", "mixed": "<%REQ(key)%>"}, FakeExchange({"key": value}))
    assert shown.isascii() and shown.splitlines() == [shown[:-1]]
    told = json.loads(shown)["value"]
    assert told == value.encode("utf-8", "replace").decode()


# -- formats that are wrong


@pytest.mark.parametrize(
    ("format", "text"),
    [
        ("%DURATON%", "no operator %DURATON%; did you mean %DURATION%?"),
        ("%duration%", "no operator %duration%; did you mean %DURATION%?"),
        ("%QQQ%", "no operator %QQQ%; there are START_TIME, DURATION"),
        ("a %DURATION% b % c", "'% c' is no operator; write %NAME%, %NAME(ARGUMENT)%, or %% for a %"),
        ("%REQ%", "%REQ% has no key; write %REQ(KEY)%"),
        ("%REQ(a?)%", "%REQ(a?)% has an empty key"),
        ("%PROTOCOL(x)%", "%PROTOCOL% takes no argument; write %PROTOCOL%"),
        ("%DURATION(h)%", "%DURATION(h)% has an unknown unit; write %DURATION%, (ms) or (us)"),
        ("%DURATION%\n%PROTOCOL%", "a line break within the format"),
        ("jsno", "'jsno' is no format; write text, json, or a line with operators such as %DURATION%"),
        ({"a": "%DURATON%"}, "no operator %DURATON%; did you mean %DURATION%?"),
    ],
)
def test_a_wrong_format_is_told_with_what_to_write(format: dict[str, str] | str, text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        compile_format(format)
