from types import SimpleNamespace

import pytest
from log_lines import FakeExchange, line

from metaproxy.message import ErrorKind
from metaproxy.telemetry.access_log.operators import FLAGS, OPERATORS


@pytest.mark.parametrize("name", OPERATORS)
def test_each_operator_can_be_used_and_shows_something(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("key", "value")
    argument = "(key)" if OPERATORS[name].argument == "KEY" else ""
    assert line(f"%{name}{argument}%", FakeExchange({"key": "value", "operation": "a/b"})).strip()


def test_ids_are_those_that_tracing_found_out_and_no_client_can_forge_them() -> None:
    told = {"x-request-id": "forged", "trace.id": "forged"}
    assert line("%STREAM_ID% %TRACE_ID%", FakeExchange(told)) == "- -\n"
    learnt = {"x-request-id": "abc", "trace.id": "0af7"}
    assert line("%STREAM_ID% %TRACE_ID%", FakeExchange(told, learnt=learnt)) == "abc 0af7\n"


def test_what_tls_and_tries_found_out() -> None:
    exchange = FakeExchange(attempts=3)
    exchange.client.facts |= {"tls.sni": "a.example", "tls.version": "TLSv1.3", "source.uri_san": "spiffe://x"}
    operators = "%REQUESTED_SERVER_NAME% %DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_PEER_URI_SAN% %DOWNSTREAM_PEER_SUBJECT%"
    assert line(f"{operators} %UPSTREAM_REQUEST_ATTEMPT_COUNT%", exchange) == "a.example TLSv1.3 spiffe://x - 3\n"


def test_what_a_client_put_into_its_handshake_can_forge_no_line() -> None:
    exchange = FakeExchange()
    exchange.client.facts |= {"tls.sni": 'a"\nforged', "source.subject": "CN=\x1b[2J"}
    assert line('"%REQUESTED_SERVER_NAME%" %DOWNSTREAM_PEER_SUBJECT%', exchange) == '"a\\"\\nforged" CN=\\x1b[2J\n'
    assert line({"dns": "%DOWNSTREAM_PEER_DNS_SAN%"}, exchange) == '{"dns": null}\n'


def test_why_there_was_no_connection_is_told_of_those_that_had_none() -> None:
    for outcome, shown in (("connect", "refused"), ("timeout", "-"), ("ok", "-")):
        exchange = FakeExchange(outcome=outcome, details="refused")
        assert line("%UPSTREAM_TRANSPORT_FAILURE_REASON%", exchange) == f"{shown}\n"


def test_a_flag_tells_that_the_retries_were_used_up() -> None:
    retry = SimpleNamespace(retry=SimpleNamespace(attempts=2))
    for outcome, attempts, flags in (("connect", 3, "UF,URX"), ("connect", 2, "UF"), ("ok", 3, "-")):
        exchange = FakeExchange(outcome=outcome, attempts=attempts, matched_route=retry)
        assert line("%RESPONSE_FLAGS%", exchange) == f"{flags}\n"


def test_b23_every_way_in_which_the_proxy_fails_a_request_that_envoy_has_a_flag_for_shows_it() -> None:
    without = {"unsupported", "draining", "internal"}
    assert {kind.value for kind in ErrorKind} - without | {"downstream_gone"} == set(FLAGS)
    for outcome, flag in FLAGS.items():
        assert line("%RESPONSE_FLAGS% %RESPONSE_CODE%", FakeExchange(outcome=outcome)) == f"{flag} 1\n"


def test_environment_and_host_are_those_of_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POD", "a\nb")
    assert line("%ENVIRONMENT(POD)% %ENVIRONMENT(NONE_SUCH)%") == "a\\nb -\n"
    monkeypatch.setattr("socket.gethostname", lambda: "here")
    assert line("%HOSTNAME%") == "here\n"


def test_flags_are_of_outcomes_that_there_are() -> None:
    assert set(FLAGS) <= {kind.value for kind in ErrorKind} | {"downstream_gone"}


STREAM = "%RESPONSE_DURATION(ms)% %RESPONSE_DURATION% %RESPONSE_TX_DURATION(us)% %REQUEST_CHUNKS% %RESPONSE_CHUNKS%"


def test_of_a_stream_it_is_shown_when_its_answer_began_how_long_that_lasted_and_in_how_many_pieces() -> None:
    exchange = FakeExchange(first_byte=1700000000.2515, request_chunks=3, response_chunks=12)
    assert line(STREAM, exchange) == "1.500 1 500 3 12\n"
    assert line({"first": "%RESPONSE_DURATION%", "chunks": "%RESPONSE_CHUNKS%"}, exchange) == (
        '{"first": 1, "chunks": 12}\n'
    )


def test_an_answer_that_never_began_has_no_first_byte() -> None:
    exchange = FakeExchange(first_byte=0.0)
    assert line(STREAM, exchange) == "- - - 0 0\n"
    assert line({"first": "%RESPONSE_DURATION%", "rest": "%RESPONSE_TX_DURATION(ms)%"}, exchange) == (
        '{"first": null, "rest": null}\n'
    )


@pytest.mark.parametrize("name", ["DURATION", "RESPONSE_DURATION", "RESPONSE_TX_DURATION"])
def test_a_unit_that_there_is_not_is_refused_by_the_name_of_its_operator(name: str) -> None:
    with pytest.raises(ValueError, match=rf"write %{name}%, \(ms\) or \(us\)"):
        line(f"%{name}(ns)%")


def test_a_servers_push_is_no_failure() -> None:
    assert line("%OUTCOME% %RESPONSE_CODE% %RESPONSE_FLAGS%", FakeExchange(outcome="event")) == "event 0 -\n"
