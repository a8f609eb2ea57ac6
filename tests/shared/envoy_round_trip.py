"""
Our configuration in Envoy's form, and back: for tests of writers.

Lives here: `written`, `refused_by`, `round_trip`. Does not: whether a real Envoy takes it (tests/interop).
"""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from checked import accepted

from metaproxy.config.model import Config
from metaproxy.envoy.bootstrap import TYPE, translate_bootstrap
from metaproxy.envoy.json_mapping import fill
from metaproxy.envoy.message_types import message_class
from metaproxy.envoy.report import Report
from metaproxy.envoy.writing.bootstrap import bootstrap_of
from metaproxy.envoy.writing.keys import Unsayable


def written(text: str) -> dict[str, Any]:
    """The bootstrap of a configuration."""
    return bootstrap_of(accepted(text))


def refused_by(text: str) -> list[str]:
    """What of a configuration can't be said, a line a key."""
    with pytest.raises(Unsayable) as raised:
        bootstrap_of(accepted(text))
    return raised.value.lines


def read_back(bootstrap: dict[str, Any]) -> Config:
    """What a bootstrap is in our own form; nothing of it may be unhonoured."""
    report = Report()
    kind = message_class(TYPE)
    assert kind is not None
    message = kind()
    fill(message, bootstrap, "", report)
    whole = translate_bootstrap(message, report)
    assert [str(one) for one in report.errors] == []
    return accepted(yaml.safe_dump(whole.plain, sort_keys=False))


def round_trip(text: str) -> Config:
    """What comes back. Written again it is the same bootstrap."""
    first = written(text)
    back = read_back(first)
    assert bootstrap_of(back) == first
    return back
