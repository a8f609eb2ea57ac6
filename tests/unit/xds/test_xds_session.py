"""A stream of xDS: what is asked, how responses are answered, and what happens when the stream ends."""

from __future__ import annotations

import pytest
from envoy.config.listener.v3 import listener_pb2
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf.any_pb2 import Any as Packed
from xds_stage import CLUSTERS, ENDPOINTS, LISTENERS, ROUTES, XdsStage, assignment, cluster, delta, response, routes


class TestStateOfTheWorld:
    def test_the_first_message_of_a_stream_alone_has_the_node(self) -> None:
        stage = XdsStage(CLUSTERS, LISTENERS)
        first, second = stage.stream.sent
        assert (first.node.id, first.type_url) == ("n1", CLUSTERS.url)
        assert (second.node.id, second.type_url) == ("", LISTENERS.url)

    def test_all_clusters_and_listeners_are_asked_for_without_names_and_no_others_before_they_are_wanted(self) -> None:
        stage = XdsStage(CLUSTERS, ENDPOINTS, LISTENERS, ROUTES)
        assert [(one.type_url, list(one.resource_names)) for one in stage.stream.sent] == [
            (CLUSTERS.url, []),
            (LISTENERS.url, []),
        ]

    def test_a_response_that_is_right_is_acknowledged_with_its_version_and_nonce(self) -> None:
        stage = XdsStage(CLUSTERS)
        stage.stream.sent.clear()
        stage.stream.say(response(CLUSTERS, "v1", "n-1", cluster("a"), cluster("b")))
        ack = stage.stream.read()
        assert (ack.version_info, ack.response_nonce, ack.HasField("error_detail")) == ("v1", "n-1", False)
        assert sorted(stage.held(CLUSTERS)) == ["a", "b"]
        assert stage.stream.room == 1

    def test_a_response_that_is_wrong_is_refused_with_the_version_before_its_own_nonce_and_the_reason(self) -> None:
        stage = XdsStage(CLUSTERS)
        stage.stream.say(response(CLUSTERS, "v1", "n-1", cluster("a")))
        stage.stream.sent.clear()
        stage.sink.refused = {"b": "connect_timeout: write a duration"}
        stage.stream.say(response(CLUSTERS, "v2", "n-2", cluster("a"), cluster("b")))
        nack = stage.stream.read()
        assert (nack.version_info, nack.response_nonce) == ("v1", "n-2")
        assert nack.error_detail.code == 3
        assert nack.error_detail.message == "b: connect_timeout: write a duration"

    def test_what_is_right_in_a_response_that_is_refused_is_in_use_and_the_rest_is_as_before(self) -> None:
        stage = XdsStage(CLUSTERS)
        stage.stream.say(response(CLUSTERS, "v1", "n-1", cluster("a"), cluster("bad"), cluster("gone")))
        stage.sink.refused = {"bad": "no"}
        stage.stream.say(response(CLUSTERS, "v2", "n-2", cluster("a", 2), cluster("bad", 2), cluster("new")))
        held = stage.held(CLUSTERS)
        assert sorted(held) == ["a", "bad", "new"]
        assert held["a"] == cluster("a", 2).SerializeToString()
        assert held["bad"] == cluster("bad").SerializeToString()

    def test_nothing_is_gone_while_something_malformed_has_no_name(self) -> None:
        stage = XdsStage(CLUSTERS)
        stage.stream.say(response(CLUSTERS, "v1", "n-1", cluster("a"), cluster("b")))
        malformed = Packed(type_url=CLUSTERS.url, value=b"\xff\xff")
        stage.stream.say(response(CLUSTERS, "v2", "n-2", cluster("a"), malformed))
        assert sorted(stage.held(CLUSTERS)) == ["a", "b"]

    def test_clusters_that_a_response_does_not_name_are_gone(self) -> None:
        stage = XdsStage(CLUSTERS)
        stage.stream.say(response(CLUSTERS, "v1", "n-1", cluster("a"), cluster("b")))
        stage.stream.say(response(CLUSTERS, "v2", "n-2", cluster("b")))
        assert sorted(stage.held(CLUSTERS)) == ["b"]
        assert stage.sink.used[-1].removed == ("a",)

    def test_endpoints_that_a_response_does_not_name_stay(self) -> None:
        stage = XdsStage(ENDPOINTS, names={"endpoints": ["a", "b"]})
        stage.stream.say(response(ENDPOINTS, "v1", "n-1", assignment("a", 1), assignment("b", 2)))
        stage.stream.say(response(ENDPOINTS, "v2", "n-2", assignment("a", 3)))
        assert sorted(stage.held(ENDPOINTS)) == ["a", "b"]
        assert stage.held(ENDPOINTS)["a"] == assignment("a", 3).SerializeToString()

    def test_a_resource_with_the_bytes_that_are_in_use_is_not_looked_at_again(self) -> None:
        stage = XdsStage(CLUSTERS)
        stage.stream.say(response(CLUSTERS, "v1", "n-1", cluster("a"), cluster("b")))
        stage.sink.looked.clear()
        stage.stream.say(response(CLUSTERS, "v2", "n-2", cluster("a"), cluster("b", 9)))
        assert stage.sink.looked == ["b"]
        assert len(stage.sink.used) == 2

    def test_a_version_without_a_change_is_acknowledged_and_changes_nothing(self) -> None:
        stage = XdsStage(CLUSTERS)
        stage.stream.say(response(CLUSTERS, "1700000001", "1", cluster("a")))
        stage.stream.sent.clear()
        stage.stream.say(response(CLUSTERS, "1700000002", "2", cluster("a")))
        assert stage.stream.read().version_info == "1700000002"
        assert len(stage.sink.used) == 1

    def test_names_go_in_a_request_with_the_version_and_nonce_of_now(self) -> None:
        stage = XdsStage(ROUTES, names={"routes": ["one"]})
        stage.stream.say(response(ROUTES, "v1", "n-1", routes("one")))
        stage.stream.sent.clear()
        stage.want(ROUTES, "one", "two")
        asked = stage.stream.read()
        assert (list(asked.resource_names), asked.version_info, asked.response_nonce) == (["one", "two"], "v1", "n-1")

    def test_the_last_name_that_goes_is_told_with_no_names(self) -> None:
        stage = XdsStage(ROUTES, names={"routes": ["one"]})
        stage.stream.sent.clear()
        stage.want(ROUTES)
        assert list(stage.stream.read().resource_names) == []

    def test_a_name_that_comes_back_on_the_same_stream_is_asked_for_without_a_version(self) -> None:
        """A server that answered it before on the stream, with this version, would answer nothing."""
        stage = XdsStage(ROUTES, names={"routes": ["one", "two"]})
        stage.stream.say(response(ROUTES, "v1", "n-1", routes("one"), routes("two")))
        stage.want(ROUTES, "one")
        stage.stream.sent.clear()
        stage.want(ROUTES, "one", "two")
        assert stage.stream.read().version_info == ""

    def test_names_that_change_while_an_answer_is_due_go_with_the_answer(self) -> None:
        stage = XdsStage(ROUTES, names={"routes": ["one"]})
        stage.stream.sent.clear()
        stage.sink.waits = True
        stage.stream.say(response(ROUTES, "v1", "n-1", routes("one")))
        stage.want(ROUTES, "one", "two")
        assert stage.stream.sent == []
        stage.sink.go_on()
        ack = stage.stream.read()
        assert (list(ack.resource_names), ack.version_info, ack.response_nonce) == (["one", "two"], "v1", "n-1")

    def test_a_response_of_a_kind_that_was_not_asked_for_is_left_alone(self) -> None:
        stage = XdsStage(CLUSTERS)
        stage.stream.sent.clear()
        stage.stream.say(response(LISTENERS, "v1", "n-1"))
        assert stage.stream.sent == []
        assert stage.stream.room == 1

    def test_a_resource_of_another_kind_is_refused_by_its_place(self) -> None:
        stage = XdsStage(CLUSTERS)
        stage.stream.sent.clear()
        stage.stream.say(response(CLUSTERS, "v1", "n-1", routes("r")))
        text = stage.stream.read().error_detail.message
        assert text.startswith("resources[0]: ")
        assert "routes" in text

    def test_bytes_that_are_no_message_are_refused_by_their_place(self) -> None:
        stage = XdsStage(CLUSTERS)
        stage.stream.sent.clear()
        stage.stream.say(response(CLUSTERS, "v1", "n-1", Packed(type_url=CLUSTERS.url, value=b"\xff\xff")))
        assert stage.stream.read().error_detail.message.startswith(
            "resources[0]: not a envoy.config.cluster.v3.Cluster"
        )

    def test_a_name_that_is_there_twice_is_refused(self) -> None:
        stage = XdsStage(CLUSTERS)
        stage.stream.sent.clear()
        stage.stream.say(response(CLUSTERS, "v1", "n-1", cluster("a"), cluster("a", 2)))
        assert stage.stream.read().error_detail.message.startswith("a: is there twice")

    def test_a_resource_may_be_wrapped_with_a_version_of_its_own(self) -> None:
        stage = XdsStage(CLUSTERS)
        wrapped = discovery_pb2.Resource(name="a", version="7")
        wrapped.resource.Pack(cluster("a"))
        stage.stream.say(response(CLUSTERS, "v1", "n-1", wrapped))
        assert [one.version for one in stage.state.stores["clusters"]] == ["7"]

    def test_two_responses_that_come_at_once_are_answered_one_after_the_other(self) -> None:
        stage = XdsStage(CLUSTERS, LISTENERS)
        stage.stream.sent.clear()
        stage.sink.waits = True
        stage.stream.say(response(CLUSTERS, "v1", "n-1", cluster("a")))
        stage.stream.say(response(CLUSTERS, "v2", "n-2", cluster("b")))
        stage.sink.go_on()
        assert [one.response_nonce for one in stage.stream.sent] == ["n-1"]
        stage.sink.go_on()
        assert [one.response_nonce for one in stage.stream.sent] == ["n-1", "n-2"]
        assert sorted(stage.held(CLUSTERS)) == ["b"]

    def test_a_resource_that_is_beyond_us_is_acknowledged_and_noted(self) -> None:
        stage = XdsStage(LISTENERS)
        stage.stream.sent.clear()
        stage.sink.skipped = {"http": "no such filter"}
        stage.stream.say(response(LISTENERS, "v1", "n-1", listener_pb2.Listener(name="http")))
        assert not stage.stream.read().HasField("error_detail")
        assert stage.state.stores["listeners"].entries["http"].skipped == "no such filter"


class TestRefusals:
    def refused(self, stage: XdsStage, version: str, nonce: str) -> None:
        stage.stream.say(response(CLUSTERS, version, nonce, cluster("bad")))

    def test_a_server_that_sends_what_was_refused_again_at_once_gets_refusals_with_pauses_that_double(self) -> None:
        stage = XdsStage(CLUSTERS)
        stage.sink.refused = {"bad": "no"}
        stage.stream.sent.clear()
        self.refused(stage, "v1", "0")
        assert stage.stream.read().response_nonce == "0"
        waited = []
        for round in range(1, 8):
            self.refused(stage, "v1", str(round))
            before = stage.clock.seconds()
            while not stage.stream.sent:
                stage.clock.advance(0.5)
            assert stage.stream.read().response_nonce == str(round)
            waited.append(stage.clock.seconds() - before)
        assert waited == [1, 2, 4, 8, 16, 30, 30]

    def test_what_was_refused_is_not_looked_at_again(self) -> None:
        stage = XdsStage(CLUSTERS)
        stage.sink.refused = {"bad": "no"}
        self.refused(stage, "v1", "0")
        self.refused(stage, "v1", "1")
        assert stage.sink.looked == ["bad"]

    def test_a_version_that_is_right_ends_the_pauses(self) -> None:
        stage = XdsStage(CLUSTERS)
        stage.sink.refused = {"bad": "no"}
        for nonce in "012":
            self.refused(stage, "v1", nonce)
            stage.clock.advance(30)
        stage.stream.say(response(CLUSTERS, "v2", "3", cluster("good")))
        stage.stream.sent.clear()
        self.refused(stage, "v3", "4")
        assert stage.stream.read().response_nonce == "4"

    def test_a_refusal_that_waits_goes_before_the_answer_to_what_comes_next(self) -> None:
        stage = XdsStage(CLUSTERS)
        stage.sink.refused = {"bad": "no"}
        self.refused(stage, "v1", "0")
        self.refused(stage, "v1", "1")
        stage.stream.sent.clear()
        stage.stream.say(response(CLUSTERS, "v2", "2", cluster("good")))
        assert [(one.response_nonce, one.version_info) for one in stage.stream.sent] == [("1", ""), ("2", "v2")]
        stage.clock.advance(60)
        assert len(stage.stream.sent) == 2

    def test_names_that_change_do_not_wait_for_a_refusal(self) -> None:
        stage = XdsStage(ROUTES, names={"routes": ["one"]})
        stage.sink.refused = {"one": "no"}
        for nonce in "01":
            stage.stream.say(response(ROUTES, "v1", nonce, routes("one")))
        stage.stream.sent.clear()
        stage.want(ROUTES, "one", "two")
        nack = stage.stream.read()
        assert (list(nack.resource_names), nack.response_nonce) == (["one", "two"], "1")
        assert nack.HasField("error_detail")

    def test_a_refusal_that_waits_is_forgotten_with_its_stream(self) -> None:
        stage = XdsStage(CLUSTERS)
        stage.sink.refused = {"bad": "no"}
        self.refused(stage, "v1", "0")
        self.refused(stage, "v1", "1")
        stage.stream.end()
        stage.clock.advance(0.5)
        assert [one.response_nonce for one in stage.stream.sent] == [""]
        stage.clock.advance(60)
        assert len(stage.stream.sent) == 1


class TestReconnect:
    def test_a_new_stream_says_which_version_and_names_there_are_and_no_nonce(self) -> None:
        stage = XdsStage(ROUTES, names={"routes": ["one"]})
        stage.stream.say(response(ROUTES, "v1", "n-1", routes("one")))
        stage.stream.end()
        assert stage.held(ROUTES) == {"one": routes("one").SerializeToString()}
        stage.clock.advance(0.5)
        asked = stage.stream.read()
        assert (asked.version_info, asked.response_nonce, list(asked.resource_names)) == ("v1", "", ["one"])
        assert asked.node.id == "n1"

    def test_a_name_that_is_not_held_is_asked_for_without_a_version(self) -> None:
        stage = XdsStage(ROUTES, names={"routes": ["one"]})
        stage.stream.say(response(ROUTES, "v1", "n-1", routes("one")))
        stage.stream.end()
        stage.want(ROUTES, "one", "two")
        stage.clock.advance(0.5)
        assert stage.stream.read().version_info == ""

    def test_tries_that_fail_are_further_and_further_apart(self) -> None:
        stage = XdsStage(CLUSTERS)
        waited = []
        for _ in range(8):
            stage.stream.end()
            before, streams = stage.clock.seconds(), len(stage.streams)
            while len(stage.streams) == streams:
                stage.clock.advance(0.5)
            waited.append(stage.clock.seconds() - before)
        assert waited == [0.5, 1, 2, 4, 8, 16, 30, 30]

    def test_a_response_begins_the_pauses_from_the_first(self) -> None:
        stage = XdsStage(CLUSTERS)
        for _ in range(4):
            stage.stream.end()
            stage.clock.advance(30)
        stage.stream.say(response(CLUSTERS, "v1", "1", cluster("a")))
        stage.stream.end()
        streams = len(stage.streams)
        stage.clock.advance(0.5)
        assert len(stage.streams) == streams + 1

    def test_what_an_old_stream_says_late_changes_nothing(self) -> None:
        stage = XdsStage(CLUSTERS)
        old = stage.stream
        old.end()
        stage.clock.advance(0.5)
        old.say(response(CLUSTERS, "v0", "n-0", cluster("old")))
        old.end()
        assert stage.held(CLUSTERS) == {}
        assert len(stage.streams) == 2
        assert old.room == 1

    def test_an_answer_whose_stream_ended_meanwhile_is_not_sent_and_its_version_counts(self) -> None:
        stage = XdsStage(CLUSTERS)
        stage.sink.waits = True
        stage.stream.say(response(CLUSTERS, "v1", "n-1", cluster("a")))
        stage.stream.end()
        stage.clock.advance(0.5)
        stage.stream.sent.clear()
        stage.sink.go_on()
        assert stage.stream.sent == []
        assert sorted(stage.held(CLUSTERS)) == ["a"]
        stage.stream.end()
        stage.clock.advance(1)
        assert stage.stream.read().version_info == "v1"

    def test_a_session_that_is_stopped_opens_no_stream(self) -> None:
        stage = XdsStage(CLUSTERS)
        stage.stream.end()
        stage.session.stop()
        stage.clock.advance(60)
        assert len(stage.streams) == 1
        assert stage.clock.getDelayedCalls() == []

    def test_a_long_silence_has_everything_asked_for_again(self) -> None:
        stage = XdsStage(ROUTES, names={"routes": ["one"]}, silence=1800)
        stage.stream.say(response(ROUTES, "v1", "n-1", routes("one")))
        stage.stream.sent.clear()
        stage.clock.advance(1799)
        assert stage.stream.sent == []
        stage.clock.advance(1)
        asked = stage.stream.read()
        assert (asked.version_info, asked.response_nonce, list(asked.resource_names)) == ("", "n-1", ["one"])


class TestDelta:
    def test_the_first_request_subscribes_and_has_the_versions_that_are_held(self) -> None:
        stage = XdsStage(ROUTES, delta=True, names={"routes": ["one", "two"]})
        first = stage.stream.read()
        assert list(first.resource_names_subscribe) == ["one", "two"]
        assert dict(first.initial_resource_versions) == {}
        stage.stream.say(delta(ROUTES, "1", {"one": ("7", routes("one"))}))
        ack = stage.stream.read()
        assert (ack.response_nonce, ack.HasField("error_detail")) == ("1", False)
        stage.stream.end()
        stage.clock.advance(0.5)
        again = stage.stream.read()
        assert list(again.resource_names_subscribe) == ["one", "two"]
        assert dict(again.initial_resource_versions) == {"one": "7"}

    def test_names_come_and_go_by_themselves(self) -> None:
        stage = XdsStage(ROUTES, delta=True, names={"routes": ["one", "two"]})
        stage.stream.sent.clear()
        stage.want(ROUTES, "two", "three")
        asked = stage.stream.read()
        assert list(asked.resource_names_subscribe) == ["three"]
        assert list(asked.resource_names_unsubscribe) == ["one"]
        assert asked.response_nonce == ""

    def test_a_refusal_has_the_nonce_and_the_reason_and_what_is_right_is_held(self) -> None:
        stage = XdsStage(CLUSTERS, delta=True)
        stage.stream.sent.clear()
        stage.sink.refused = {"b": "no"}
        stage.stream.say(delta(CLUSTERS, "1", {"a": ("1", cluster("a")), "b": ("1", cluster("b"))}))
        nack = stage.stream.read()
        assert (nack.response_nonce, nack.error_detail.message) == ("1", "b: no")
        stage.stream.end()
        stage.clock.advance(0.5)
        assert dict(stage.stream.read().initial_resource_versions) == {"a": "1"}

    def test_a_cluster_that_is_removed_is_gone_and_others_stay(self) -> None:
        stage = XdsStage(CLUSTERS, delta=True)
        stage.stream.say(delta(CLUSTERS, "1", {"a": ("1", cluster("a")), "b": ("1", cluster("b"))}))
        stage.stream.say(delta(CLUSTERS, "2", {}, ["a"]))
        assert sorted(stage.held(CLUSTERS)) == ["b"]
        assert stage.sink.used[-1].removed == ("a",)

    def test_routes_that_are_removed_stay_in_use_while_they_are_wanted(self) -> None:
        stage = XdsStage(ROUTES, delta=True, names={"routes": ["one"]})
        stage.stream.say(delta(ROUTES, "1", {"one": ("7", routes("one"))}))
        stage.stream.say(delta(ROUTES, "2", {}, ["one"]))
        assert sorted(stage.held(ROUTES)) == ["one"]

    def test_names_that_change_while_an_answer_is_due_are_sent_at_once(self) -> None:
        stage = XdsStage(ROUTES, delta=True, names={"routes": ["one"]})
        stage.stream.sent.clear()
        stage.sink.waits = True
        stage.stream.say(delta(ROUTES, "1", {"one": ("7", routes("one"))}))
        stage.want(ROUTES, "one", "two")
        assert list(stage.stream.read().resource_names_subscribe) == ["two"]
        stage.sink.go_on()
        assert stage.stream.read().response_nonce == "1"


@pytest.mark.parametrize("is_delta", [False, True])
def test_counts_say_what_happened(is_delta: bool) -> None:
    stage = XdsStage(CLUSTERS, delta=is_delta)
    counts = stage.counts.of(CLUSTERS)
    assert (counts.attempts, stage.counts.connected) == (0, False)
    stage.sink.refused = {"bad": "no"}
    if is_delta:
        stage.stream.say(delta(CLUSTERS, "1", {"a": ("1", cluster("a"))}))
        stage.stream.say(delta(CLUSTERS, "2", {"bad": ("1", cluster("bad"))}))
    else:
        stage.stream.say(response(CLUSTERS, "v1", "1", cluster("a")))
        stage.stream.say(response(CLUSTERS, "v2", "2", cluster("a"), cluster("bad")))
        assert counts.version == "v1"
    assert stage.counts.connected
    stage.stream.end()
    assert (counts.successes, counts.rejected, counts.failures, counts.resources) == (1, 1, 1, 1)
    assert counts.attempts == 3
    assert not stage.counts.connected
    assert counts.updated == 1000.0
