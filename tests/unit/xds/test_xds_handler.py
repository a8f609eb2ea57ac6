"""What becomes of updates that are unlike those of test_xds_session.py: names that are wanted no more."""

from __future__ import annotations

from xds_stage import ENDPOINTS, ROUTES, XdsStage, assignment, response, routes


def test_a_resource_that_was_not_asked_for_is_not_kept_and_is_no_error() -> None:
    """istiod sends what it has when the names change in the meantime."""
    stage = XdsStage(ENDPOINTS, names={"endpoints": ["a"]})
    stage.stream.sent.clear()
    stage.stream.say(response(ENDPOINTS, "v1", "1", assignment("a", 1), assignment("b", 2)))
    assert sorted(stage.held(ENDPOINTS)) == ["a"]
    assert not stage.stream.read().HasField("error_detail")


def test_a_resource_that_is_dropped_while_it_is_looked_at_is_not_used() -> None:
    stage = XdsStage(ROUTES, names={"routes": ["one", "two"]})
    stage.sink.waits = True
    stage.stream.say(response(ROUTES, "v1", "1", routes("one"), routes("two")))
    stage.want(ROUTES, "two")
    stage.sink.go_on()
    assert sorted(stage.held(ROUTES)) == ["two"]
    assert [one.name for one in stage.sink.used[0].resources] == ["two"]


def test_what_was_refused_is_looked_at_again_on_a_new_stream() -> None:
    stage = XdsStage(ROUTES, names={"routes": ["one"]})
    stage.sink.refused = {"one": "no such filter"}
    stage.stream.say(response(ROUTES, "v1", "1", routes("one")))
    stage.sink.refused = {}
    stage.stream.end()
    stage.clock.advance(0.5)
    stage.stream.say(response(ROUTES, "v1", "1", routes("one")))
    assert sorted(stage.held(ROUTES)) == ["one"]
