from __future__ import annotations

from typing import Any, cast

import pytest
from present import present

from metaproxy.message import FrameError
from metaproxy.telemetry.inspect.flows import KEPT, MAX_NAME, MAX_ROWS, STEP, Flows
from metaproxy.telemetry.roles import CompletedExchange


class Ended:
    """An exchange that ended. values: its metadata and facts; an exception in the place of a value is raised."""

    listener, protocol, route = "front", "quill", "main"

    def __init__(
        self, ended: float, outcome: str = "ok", lasted: float = 0.003, cluster: str = "demo", **values: Any
    ) -> None:
        self.started, self.ended = ended - lasted, ended
        self.outcome, self.cluster = outcome, cluster
        self.streamed = False
        self.values = {"source.address": "127.0.0.9", "operation": "echo", **values}

    def get(self, key: str) -> str | None:
        value = self.values.get(key)
        if isinstance(value, Exception):
            raise value
        return value


def ended(values: dict[str, Any]) -> Ended:
    return Ended(1.0, **values)


def seen(*exchanges: Ended, began: float = 0.0, **options: Any) -> Flows:
    flows = Flows(began, **options)
    for exchange in exchanges:
        flows.on_complete(cast(CompletedExchange, exchange))
    return flows


def callers(flows: Flows, now: float = 10.0) -> set[str]:
    return {flow.caller for flow, _ in flows.read(now, KEPT).rows}


def test_a_row_tells_who_sent_what_where_how_often_and_how_it_ended() -> None:
    flows = seen(Ended(1.0), Ended(1.5, "timeout", lasted=0.2), Ended(2.5), Ended(3.0, "oneway"))
    ((flow, tally),) = flows.read(4.0, 10).rows
    assert tuple(flow) == ("127.0.0.9", "front", "quill", "main", "demo", "echo")
    assert tally.outcomes == {"ok": 2, "timeout": 1, "oneway": 1}
    assert (tally.count, tally.errors) == (4, 1)
    assert 0.001 < present(tally.percentile(0.5)) <= 0.005
    assert 0.1 < present(tally.percentile(0.99)) <= 0.25


def test_callers_clusters_and_operations_are_told_apart() -> None:
    flows = seen(
        Ended(1.0),
        Ended(1.0, operation="tell"),
        Ended(1.0, cluster="other"),
        ended({"source.address": "::1"}),
    )
    assert len(flows.read(2.0, 10).rows) == 4


def test_the_window_slides_by_whole_slices() -> None:
    flows = seen(*(Ended(float(second)) for second in range(20)))
    reading = flows.read(20.0, 10)
    assert reading.total.count == 8  # of 12 s to 20 s: the slice that has just begun is one of the five
    assert reading.seconds == 8.0
    assert flows.read(20.0 + 2 * STEP, 10).total.count == 4
    assert flows.read(20.0 + KEPT, 10).rows == []


def test_before_it_has_looked_for_a_window_the_rate_is_of_what_it_has_seen() -> None:
    flows = seen(Ended(101.0), Ended(103.0), began=100.5)
    assert flows.read(104.5, 10).seconds == 4.0
    assert flows.read(100.6, 10).seconds == 1.0  # of a moment there is no rate


def test_a_caller_is_its_certificates_name_or_its_applications_or_else_its_address() -> None:
    both: Any = {"source.identity": "spiffe://demo/shop", "remote.application": "shop"}
    assert callers(seen(Ended(1.0, **both))) == {"spiffe://demo/shop"}
    assert callers(seen(ended({"remote.application": "shop"}))) == {"shop"}
    assert callers(seen(Ended(1.0))) == {"127.0.0.9"}
    assert callers(seen(Ended(1.0, tenant="blue"), callers=["tenant"])) == {"blue"}
    assert callers(seen(Ended(1.0), callers=["tenant"])) == {"-"}


def test_what_cannot_be_decoded_is_no_caller_and_no_fault() -> None:
    broken = ended({"operation": FrameError("cut"), "remote.application": FrameError("cut")})
    ((flow, _),) = seen(broken).read(2.0, 10).rows
    assert (flow.caller, flow.operation) == ("127.0.0.9", "-")


def test_names_that_a_client_chose_are_cut() -> None:
    ((flow, _),) = seen(Ended(1.0, operation="x" * 5000)).read(2.0, 10).rows
    assert flow.operation == "x" * MAX_NAME


def test_a_client_that_makes_up_names_fills_the_rows_and_the_rest_is_counted_together() -> None:
    flows = seen(*(Ended(1.0, operation=f"made up {number}") for number in range(MAX_ROWS + 7)))
    reading = flows.read(2.0, 10)
    assert len(reading.rows) == MAX_ROWS
    assert reading.other is not None
    assert (reading.other.count, reading.total.count) == (7, MAX_ROWS + 7)


def test_memory_is_bounded_in_time() -> None:
    flows = seen(*(Ended(float(second), operation=f"at {second}") for second in range(1000)))
    assert flows.read(1000.0, 1e9).total.count == KEPT


def test_what_fails_comes_first_and_what_is_over_the_limit_is_summed_up() -> None:
    flows = seen(
        *(Ended(1.0, operation="busy") for _ in range(9)),
        *(Ended(1.0, operation="calm") for _ in range(3)),
        Ended(1.0, "reset", operation="broken"),
    )
    reading = flows.read(2.0, 10, limit=2)
    assert [flow.operation for flow, _ in reading.rows] == ["broken", "busy"]
    assert reading.other is not None
    assert reading.other.outcomes == {"ok": 3}
    assert flows.read(2.0, 10).other is None


def test_a_clock_that_was_set_back_loses_nothing() -> None:
    flows = seen(Ended(100.0), Ended(50.0, lasted=-3.0))
    assert flows.read(101.0, 10).total.count == 2


@pytest.mark.parametrize("outcome", ["error", "timeout", "limited", "downstream_gone"])
def test_every_outcome_but_ok_and_oneway_is_an_error(outcome: str) -> None:
    assert seen(Ended(1.0, outcome)).read(2.0, 10).total.errors == 1


def test_how_long_a_stream_lasted_is_no_latency_and_its_outcome_counts() -> None:
    stream = Ended(1.0, lasted=0.9)
    stream.streamed = True
    ((_, tally),) = seen(stream).read(2.0, 10).rows
    assert (tally.outcomes, tally.percentile(0.5)) == ({"ok": 1}, None)


def opened(request: int, response: int, **more: Any) -> CompletedExchange:
    stream = Ended(0.0, outcome="", **more)
    stream.streamed, stream.request_bytes, stream.response_bytes = True, request, response  # type: ignore[attr-defined]
    return cast(CompletedExchange, stream)


def test_streams_that_are_open_are_in_the_row_of_their_flow_with_the_bytes_both_ways() -> None:
    flows = seen(Ended(1.0))
    reading = flows.read(2.0, 10, streams=[opened(10, 3), opened(5, 4), opened(1, 0, operation="watch")])
    rows = {flow.operation: tally for flow, tally in reading.rows}
    assert (rows["echo"].count, rows["echo"].open) == (1, 2)
    assert (rows["echo"].request_bytes, rows["echo"].response_bytes) == (15, 7)
    assert (rows["watch"].count, rows["watch"].open) == (0, 1)
    assert (reading.total.open, reading.total.request_bytes, reading.other) == (3, 16, None)
    assert flows.read(2.0, 10).total.open == 0


def test_however_many_flows_have_open_streams_so_many_rows_are_made() -> None:
    reading = seen().read(2.0, 10, streams=[opened(1, 1, operation=f"o{number}") for number in range(MAX_ROWS + 5)])
    assert len(reading.rows) == MAX_ROWS
    assert (present(reading.other).open, reading.total.open) == (5, MAX_ROWS + 5)


def test_a_servers_push_is_no_error_and_no_latency() -> None:
    ((_, tally),) = seen(Ended(1.0, "event", lasted=0.0)).read(2.0, 10).rows
    assert (tally.count, tally.errors, tally.percentile(0.5)) == (1, 0, None)
