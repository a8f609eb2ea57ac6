"""Subscriptions without a session; what they say on a stream is in test_xds_session.py."""

from __future__ import annotations

from typing import Any

import pytest
from xds_stage import CLUSTERS, ROUTES, response

from metaproxy.xds.subscription import MAX_DETAIL, Incremental, StateOfTheWorld
from metaproxy.xds.update import Update


@pytest.mark.parametrize("make", [StateOfTheWorld, Incremental])
def test_nothing_is_sent_without_a_stream(make: Any) -> None:
    subscription = make(ROUTES)
    assert subscription.want(["a"]) is None
    assert subscription.ack(Update("1")) is None
    assert subscription.refresh() is None


@pytest.mark.parametrize("make", [StateOfTheWorld, Incremental])
def test_a_response_is_answered_once(make: Any) -> None:
    subscription = make(CLUSTERS)
    subscription.open()
    offered = response(CLUSTERS, "1", "n") if make is StateOfTheWorld else None
    if offered is None:
        from xds_stage import delta

        update = subscription.read(delta(CLUSTERS, "n", {}), {})
    else:
        update = subscription.read(offered, {})
    assert subscription.ack(update) is not None
    assert subscription.ack(update) is None
    assert subscription.nack(update, "no") is None


def test_the_text_of_a_refusal_is_bounded() -> None:
    subscription = StateOfTheWorld(CLUSTERS)
    subscription.open()
    update = subscription.read(response(CLUSTERS, "1", "n"), {})
    nack: Any = subscription.nack(update, "x" * 100_000)
    assert len(nack.error_detail.message) == MAX_DETAIL


@pytest.mark.parametrize("make", [StateOfTheWorld, Incremental])
def test_the_same_names_again_are_not_asked_for_again(make: Any) -> None:
    subscription = make(ROUTES, ["a"])
    subscription.open()
    assert subscription.want(["a"]) is None
