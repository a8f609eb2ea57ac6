"""The process of a control plane: its settings, its source."""

from __future__ import annotations

from pathlib import Path

import pytest

from metaproxy.config.schema.load import ConfigErrors
from metaproxy.control.start import check, settings_of


def test_a_folder_that_is_right_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("clusters: [{name: a, endpoints: []}]")
    assert check(str(tmp_path)).endswith("1 files; nothing is wrong\n")


def test_all_that_is_wrong_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("x: 1")
    (tmp_path / "b.yaml").write_text("y: 1")
    with pytest.raises(ConfigErrors) as caught:
        check(str(tmp_path))
    assert "a.yaml:1:1" in str(caught.value)
    assert "b.yaml:1:1" in str(caught.value)


def test_the_settings_stand_in_the_folder_or_in_a_file_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "control.yaml").write_text("name: here")
    other = tmp_path / "other.yaml"
    other.write_text("name: there")
    assert settings_of(str(tmp_path), "").name == "here"
    assert settings_of(str(tmp_path), str(other)).name == "there"
    with pytest.raises(ConfigErrors, match=r"none\.yaml"):
        settings_of(str(tmp_path), str(tmp_path / "none.yaml"))


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors, match="folder"):
        check(str(tmp_path / "none"))


def test_the_example_is_right() -> None:
    folder = Path(__file__).parents[3] / "conf" / "control"
    assert "nothing is wrong" in check(str(folder))
    assert settings_of(str(folder), "").rest == "127.0.0.1:18001"
