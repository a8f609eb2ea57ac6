from __future__ import annotations

from collections.abc import Mapping

from twisted.internet.task import Clock

from metaproxy.discovery.endpoint_list import MOST, EndpointList
from metaproxy.discovery.instances import Instance
from metaproxy.testing import FakeReport


class Listed:
    def __init__(self, where: Mapping[str, str] | None = None, keep_empty: bool = False, settle: float = 0.0) -> None:
        self.clock, self.report = Clock(), FakeReport()
        self.list = EndpointList(self.clock, where, keep_empty, settle)
        self.list.start(self.report.update, self.report.failed)

    def found(self, *instances: Instance | str) -> None:
        self.list.found(Instance(one) if isinstance(one, str) else one for one in instances)

    @property
    def addresses(self) -> list[object]:
        return [one["address"] for one in self.report.updates[-1]]


def test_instances_are_reported_as_a_configuration_has_endpoints() -> None:
    listed = Listed()
    listed.found(Instance("a:1", 3, {"v": "1"}, zone="b", priority=2), "a:2")
    assert listed.report.updates == [
        [
            {"address": "a:1", "weight": 3, "metadata": {"v": "1"}, "zone": "b", "priority": 2},
            {"address": "a:2", "weight": 1, "metadata": {}},
        ]
    ]


def test_a_list_that_is_the_same_is_not_reported() -> None:
    listed = Listed()
    listed.found("a:1")
    listed.found("a:1")
    assert len(listed.report.updates) == 1


def test_the_first_answer_is_reported_though_it_is_empty() -> None:
    listed = Listed()
    listed.found()
    assert listed.report.updates == [[]]


def test_instances_that_are_unhealthy_or_have_no_weight_are_left_out() -> None:
    listed = Listed()
    listed.found(Instance("a:1", healthy=False), Instance("a:2", weight=0), "a:3")
    assert listed.addresses == ["a:3"]


def test_only_instances_with_the_metadata_that_are_asked_for_are_reported() -> None:
    listed = Listed(where={"version": "v2", "group": "g"})
    both = {"version": "v2", "group": "g", "more": "x"}
    listed.found(Instance("a:1", 1, both), Instance("a:2", 1, {"version": "v2"}), "a:3")
    assert listed.addresses == ["a:1"]


def test_two_instances_of_one_address_are_one_endpoint_without_what_they_differ_in() -> None:
    listed = Listed()
    listed.found(
        Instance("a:1", 5, {"version": "1", "app": "x", "own": "o"}), Instance("a:1", 7, {"version": "2", "app": "x"})
    )
    assert listed.report.updates == [[{"address": "a:1", "weight": 5, "metadata": {"app": "x"}}]]


def test_more_instances_than_allowed_are_refused_and_the_last_list_stays() -> None:
    listed = Listed()
    listed.found("a:1")
    listed.found(*(f"a:{n + 1}" for n in range(MOST + 1)))
    assert listed.addresses == ["a:1"]
    assert "allowed are 10000" in listed.report.failures[0]


# -- an empty list


def test_an_empty_list_is_an_answer() -> None:
    listed = Listed()
    listed.found("a:1")
    listed.found()
    assert listed.addresses == []
    assert listed.report.failures == []


def test_with_keep_empty_the_last_endpoints_stay_and_that_is_reported() -> None:
    listed = Listed(keep_empty=True)
    listed.found("a:1")
    listed.found(Instance("a:1", healthy=False))
    assert listed.addresses == ["a:1"]
    assert "keep_empty" in listed.report.failures[0]
    listed.found("a:2")
    assert listed.addresses == ["a:2"]


def test_with_keep_empty_a_cluster_that_never_had_endpoints_has_none() -> None:
    listed = Listed(keep_empty=True)
    listed.found()
    assert listed.report.updates == [[]]
    assert listed.report.failures == []


# -- after an outage


def test_a_registry_that_is_away_keeps_the_last_endpoints() -> None:
    listed = Listed()
    listed.found("a:1")
    listed.list.away("no connection")
    assert listed.addresses == ["a:1"]
    assert listed.report.failures == ["no connection"]


def test_after_an_outage_what_is_new_is_taken_at_once_and_what_is_missing_stays_for_a_while() -> None:
    listed = Listed(settle=30.0)
    listed.found("a:1", "a:2")
    listed.list.away("no connection")
    listed.found("a:3")
    assert listed.addresses == ["a:1", "a:2", "a:3"]
    listed.clock.advance(20)
    listed.found("a:3", "a:2")
    assert listed.addresses == ["a:1", "a:2", "a:3"]
    listed.clock.advance(10)
    assert listed.addresses == ["a:3", "a:2"]


def test_without_an_outage_what_is_missing_goes_at_once() -> None:
    listed = Listed(settle=30.0)
    listed.found("a:1", "a:2")
    listed.found("a:1")
    assert listed.addresses == ["a:1"]


def test_an_entry_that_can_not_be_used_is_no_outage() -> None:
    listed = Listed(settle=30.0)
    listed.found("a:1", "a:2")
    listed.list.failed("an entry is broken")
    listed.found("a:1")
    assert listed.addresses == ["a:1"]


def test_a_second_outage_begins_the_time_from_its_end() -> None:
    listed = Listed(settle=30.0)
    listed.found("a:1", "a:2")
    listed.list.away("gone")
    listed.found("a:1")
    listed.clock.advance(20)
    listed.list.away("gone")
    listed.found("a:1")
    listed.clock.advance(20)
    assert listed.addresses == ["a:1", "a:2"]
    listed.clock.advance(10)
    assert listed.addresses == ["a:1"]


def test_nothing_is_reported_and_nothing_waits_once_it_is_stopped() -> None:
    listed = Listed(settle=30.0)
    listed.found("a:1")
    listed.list.away("gone")
    listed.found()
    listed.list.stop()
    assert listed.clock.getDelayedCalls() == []
    before = list(listed.report.failures)
    listed.found("a:9")
    listed.list.failed("x")
    assert listed.addresses == ["a:1"]
    assert listed.report.failures == before


def test_a_problem_stands_until_the_registry_lists_again() -> None:
    listed = Listed(keep_empty=True)
    assert listed.list.problem == ""
    listed.list.away("no connection")
    assert listed.list.problem == "no connection"
    listed.found("a:1")
    assert listed.list.problem == ""
    listed.found()
    assert "keep_empty" in listed.list.problem


def test_a_text_from_a_registry_is_bounded() -> None:
    listed = Listed()
    listed.list.failed("x" * 5000)
    assert len(listed.report.failures[0]) == 200
