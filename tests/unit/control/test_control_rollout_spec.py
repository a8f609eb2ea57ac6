"""What may be written of a rollout."""

from __future__ import annotations

import pytest

from metaproxy.control.rollout_spec import moment, read_rollout, shown_moment
from metaproxy.units import Percent

RIGHT = {"version": "v2", "before": "v1", "start": "2026-01-31T12:00:00Z", "steps": [{"percent": 10, "hold": "5m"}]}


def test_a_rollout_is_read_with_its_defaults() -> None:
    spec, problems = read_rollout("r.yaml", RIGHT, ["v1", "v2"])
    assert problems == []
    assert spec is not None
    assert (spec.version, spec.before, spec.steps[0].hold) == ("v2", "v1", 300.0)
    assert (spec.return_when.errors, spec.return_when.requests, spec.return_when.refused) == (Percent(1), 100, True)


@pytest.mark.parametrize(
    ("change", "path", "words"),
    [
        ({"version": "v3"}, "rollout.version", "no folder versions/v3/; there are v1, v2"),
        ({"before": "v0"}, "rollout.before", "no folder versions/v0/"),
        ({"start": "tomorrow"}, "rollout.start", "2026-01-31T12:00:00Z"),
        ({"start": None, "steps": [{"percent": 1}]}, "rollout", "start"),
        ({"steps": [{"percent": 50}, {"percent": 10}]}, "rollout.steps", "smaller than the one before"),
        ({"steps": [{"percent": 101}]}, "rollout.steps[0].percent", ""),
        ({"stepps": []}, "rollout.stepps", "did you mean 'steps'?"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(change: dict[str, object], path: str, words: str) -> None:
    plain = {key: value for key, value in {**RIGHT, **change}.items() if value is not None}
    spec, problems = read_rollout("r.yaml", plain, ["v1", "v2"])
    assert spec is None
    assert any(one.path == path and words in one.text for one in problems), problems


def test_a_time_without_a_zone_is_utc() -> None:
    assert moment("2026-01-31T12:00:00") == moment("2026-01-31T12:00:00Z") == moment("2026-01-31T13:00:00+01:00")
    assert shown_moment(moment("2026-01-31T12:00:00Z")) == "2026-01-31T12:00:00Z"
