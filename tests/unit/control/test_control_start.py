"""The process of a control plane: its settings, its source."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from metaproxy.config.schema.nodes import ConfigErrors
from metaproxy.control.start import check, make_services, settings_of


def test_a_folder_that_is_right_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("clusters: [{name: a, endpoints: []}]")
    assert check(str(tmp_path)).endswith("1 file; nothing is wrong\n")


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


@pytest.mark.parametrize("key", ["listen", "rest", "admin.listen"])
def test_an_address_that_is_taken_is_refused_before_anything_is_served(tmp_path: Path, key: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        where = {"listen": "127.0.0.1:0", "rest": "127.0.0.1:0", "admin.listen": "127.0.0.1:0"}
        where[key] = f"127.0.0.1:{taken.getsockname()[1]}"
        settings = f"listen: {where['listen']}\nrest: {where['rest']}\nadmin: {{listen: '{where['admin.listen']}'}}\n"
        (tmp_path / "control.yaml").write_text(settings)
        with pytest.raises(OSError, match=f"^{key}: 127"):
            make_services(str(tmp_path))


def test_the_example_is_right() -> None:
    folder = Path(__file__).parents[3] / "conf" / "control"
    assert "nothing is wrong" in check(str(folder))
    assert settings_of(str(folder), "").rest == "127.0.0.1:18001"
