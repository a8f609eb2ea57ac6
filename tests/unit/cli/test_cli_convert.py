from __future__ import annotations

from pathlib import Path

import pytest
from asking import Terminal
from envoy_files import BOOTSTRAP


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "envoy.yaml"
    path.write_text(BOOTSTRAP)
    return path


def test_a_bootstrap_is_printed_in_a_form_that_check_accepts(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Terminal().run("convert", str(file)) == 0
    own = tmp_path / "own.yaml"
    own.write_text(capsys.readouterr().out)
    assert Terminal().run("check", str(own)) == 0
    assert Terminal().run("check", str(file)) == 0


def test_what_can_not_be_honoured_is_told_and_nothing_is_printed(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(BOOTSTRAP + "header_prefix: x\n")
    terminal = Terminal()
    assert terminal.run("convert", str(file)) == 1
    assert "header_prefix" in terminal.err
    assert capsys.readouterr().out == ""
    assert terminal.run("convert", "--lenient", str(file)) == 0
    assert "warning: " in terminal.err
    assert "listeners:" in capsys.readouterr().out


def test_a_lenient_check_has_warnings(file: Path) -> None:
    file.write_text(BOOTSTRAP + "header_prefix: x\n")
    terminal = Terminal()
    assert terminal.run("check", str(file)) == 1
    assert terminal.run("check", "--lenient", str(file)) == 0
    assert "header_prefix" in terminal.out


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="No such file"):
        Terminal().run("convert", str(tmp_path / "none.yaml"))


OURS = """
listeners: [{name: raw, listen: "127.0.0.1:5432", protocol: tcp, routes: [{cluster: db}]}]
clusters: [{name: db, endpoints: ["127.0.0.1:3"]}]
"""


def test_a_file_of_ours_is_printed_as_a_bootstrap_and_that_as_ours(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own, envoys = tmp_path / "own.yaml", tmp_path / "envoy.yaml"
    own.write_text(OURS)
    assert Terminal().run("convert", "--to", "envoy", str(own)) == 0
    envoys.write_text(capsys.readouterr().out)
    assert Terminal().run("check", str(envoys)) == 0


def test_what_envoy_has_no_words_for_is_told_and_nothing_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(f"overload: {{max_memory: 1GiB}}\n{OURS}")
    terminal = Terminal()
    assert terminal.run("convert", "--to", "envoy", str(own)) == 1
    assert "overload" in terminal.err
    assert capsys.readouterr().out == ""
    assert terminal.run("convert", "--to", "envoy", "--lenient", str(own)) == 0
    assert "tcp_proxy" in capsys.readouterr().out
