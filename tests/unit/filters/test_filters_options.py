from __future__ import annotations

from typing import Any

import pytest

from metaproxy.config.check import check
from metaproxy.filters.options import matching
from metaproxy.options import made
from metaproxy.plugins import OptionError, Registry
from metaproxy.units import Seconds

SECOND = Seconds(1.0)


class Thing:
    def __init__(self, size: int, wait: Seconds = SECOND, clock: object = None) -> None:
        if size < 0:
            raise ValueError("size must not be negative")
        self.size, self.wait, self.clock = size, wait, clock


def test_a_thing_is_made_of_converted_options_and_of_what_it_is_given() -> None:
    thing = made(Thing, {"size": 3, "wait": "250ms"}, "things", 0, clock="tick")
    assert (thing.size, thing.wait, thing.clock) == (3, 0.25, "tick")


@pytest.mark.parametrize(
    ("spec", "path"),
    [({"size": "x"}, (0, "size")), ({}, (0,)), ({"size": -1}, (0,)), ([], (0,)), ({"size": 1, "x": 2}, (0, "x"))],
)
def test_an_error_has_the_path_to_what_is_wrong(spec: Any, path: tuple[object, ...]) -> None:
    with pytest.raises(OptionError) as caught:
        made(Thing, spec, "things", 0)
    assert (caught.value.option, caught.value.path) == ("things", path)


@pytest.mark.parametrize("match", [None, {}])
def test_an_empty_match_holds_always(match: dict[str, object] | None) -> None:
    assert matching(match).holds(lambda key: None)


def test_every_entry_of_a_match_must_hold() -> None:
    holds = matching({"method": "pay", "user": {"present": True}}).holds
    assert holds({"method": "pay", "user": "ann"}.get)
    assert not holds({"method": "pay"}.get)


CONFIG = """\
listeners:
  - name: front
    listen: 127.0.0.1:0
    protocol: redis
    filters:
      - local_rate_limit:
          conditions:
            - {limit: 1}
            - limit: 2
              match:
                command: {prefx: a}
    routes: [{reply: {error: not_found}}]
"""


def test_a_configuration_is_told_line_and_column_of_what_is_wrong_deep_within_an_option() -> None:
    _, (problem,) = check(CONFIG, "front.yaml", Registry())
    assert (problem.line, problem.column) == (11, 26)
    assert "conditions[1].match.command" in str(problem)
