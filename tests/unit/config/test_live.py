"""`runtime:`: values of a configuration that are changed while it is in force."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from stand import Stand

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"


def config(runtime: dict[str, Any] | None = None, percent: object = 100, **more: Any) -> str:
    route = {"name": "some", "percent": percent, "clusters": {"one": {"runtime": "share"}, "two": 1}}
    return json.dumps(
        {
            "plugins": [str(EXAMPLES)],
            "runtime": {"share": 3, **(runtime or {})},
            "listeners": [
                {"name": "front", "listen": "127.0.0.1:7000", "protocol": "quill", "routes": [route], **more}
            ],
            "clusters": [{"name": name, "endpoints": ["127.0.0.1:1"]} for name in ("one", "two")],
        }
    )


def weights(stand: Stand) -> list[int]:
    return [target.weight for target in stand.snapshot.listeners["front"].routes.routes[0].targets]


def test_a_live_value_stands_in_the_place_of_a_number(tmp_path: Path) -> None:
    stand = Stand(tmp_path, config())
    assert stand.errors == []
    assert weights(stand) == [3, 1]


def test_a_change_is_in_force_at_once_and_survives_a_reload_that_knows_the_name(tmp_path: Path) -> None:
    stand = Stand(tmp_path, config())
    assert stand.configuration.set_live("share", 9) == []
    assert weights(stand) == [9, 1]
    stand.write(config({"share": 4}))
    assert stand.configuration.reload() == []
    assert weights(stand) == [9, 1]
    assert stand.configuration.defaults == {"share": 4}
    assert stand.configuration.set_live("share", None) == []
    assert weights(stand) == [4, 1]


def test_a_value_that_does_not_fit_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    stand = Stand(tmp_path, config())
    before = stand.snapshot
    (error,) = stand.configuration.set_live("share", "many")
    assert "listeners[0].routes[0].clusters.one" in error and "'many'" in error
    assert stand.snapshot is before
    assert stand.configuration.live == {}


def test_a_name_that_is_not_there_is_an_error_where_it_is_used(tmp_path: Path) -> None:
    stand = Stand(tmp_path, config(percent={"runtime": "shrae"}))
    (error,) = stand.errors
    assert "no runtime value 'shrae'; did you mean 'share'?" in error
    stand = Stand(tmp_path, config(percent={"runtime": "other"}))
    assert "write runtime: {other: VALUE} at the top level" in stand.errors[0]
    with pytest.raises(KeyError):
        Stand(tmp_path, config()).configuration.set_live("other", 1)


def test_a_live_value_reaches_the_options_of_filters_and_only_what_uses_it_is_made_anew(tmp_path: Path) -> None:
    filters = [{"local_rate_limit": {"limit": {"runtime": "limit"}}}, {"local_rate_limit": {"limit": 5}}]
    stand = Stand(tmp_path, config({"limit": 100}, filters=filters))
    before = [one.plugin for one in stand.snapshot.filters]
    assert stand.configuration.set_live("limit", 7) == []
    after = [one.plugin for one in stand.snapshot.filters]
    assert after[0] is not before[0] and after[1] is before[1]


def test_a_value_whose_name_a_new_configuration_does_not_have_is_forgotten(tmp_path: Path) -> None:
    stand = Stand(tmp_path, config({"limit": 100}))
    stand.configuration.set_live("limit", 7)
    stand.write(config())
    stand.configuration.reload()
    assert stand.configuration.live == {}
