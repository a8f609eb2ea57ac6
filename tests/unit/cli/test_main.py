from __future__ import annotations

import io
import json
import re
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from metaproxy.cli import check
from metaproxy.cli import main as module
from metaproxy.cli.main import COMMANDS, NO, OK, UNREACHABLE, USAGE, main, parser

DOCS = Path(__file__).parents[3] / "docs" / "reference" / "command-line.md"


@pytest.mark.parametrize("arguments", [[], ["dance"], ["check"], ["replay", "x"], ["config"], ["top", "--rows", "x"]])
def test_wrong_arguments_end_with_2_and_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("metaproxy: ")
    assert err.count("\n") == 1


def test_an_api_that_can_not_be_reached_ends_with_3(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--admin", "unix:/nowhere.sock"]) == UNREACHABLE
    assert "unix:/nowhere.sock" in capsys.readouterr().err


def test_an_address_that_is_none_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--admin", "ftp://x", "status"]) == USAGE
    assert "is no admin API" in capsys.readouterr().err


def test_the_answer_no_ends_with_1_and_scripts_get_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.yaml").write_text("listener: []")
    assert main(["--json", "check", str(tmp_path / "x.yaml")]) == NO
    assert json.loads(capsys.readouterr().out)["valid"] is False


def test_address_and_token_come_from_the_environment_unless_they_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    class Admin:
        def __init__(self, where: Any, token: Any, ca: Any, certificate: Any) -> None:
            made.append((where, token))

    monkeypatch.setattr(module, "Admin", Admin)
    monkeypatch.setattr(check, "run", lambda given, admin, output: OK)
    monkeypatch.setenv("METAPROXY_TOKEN", "secret")
    monkeypatch.setenv("METAPROXY_ADMIN", "unix:/run/x")
    assert main(["check", "x"]) == OK
    assert main(["--admin", "a:1", "check", "x", "--token", "t"]) == OK
    assert made == [("unix:/run/x", "secret"), ("a:1", "t")]


def test_ctrl_c_and_a_reader_that_has_enough_are_no_errors(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupted(given: Any, admin: Any, output: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(check, "run", interrupted)
    assert main(["check", "x"]) == OK


def test_each_command_and_option_is_in_the_reference() -> None:
    text = DOCS.read_text()
    sections = dict(re.findall(r"^## `metaproxy (.*?)`\n(.*?)(?=^## |\Z)", text, re.M | re.S))
    for command in COMMANDS:
        name = command.__name__.rpartition(".")[2]
        title = "config diff" if name == "config" else name
        body = next(body for heading, body in sections.items() if heading.startswith(title))
        for option in options(["config", "diff"] if name == "config" else [name]):
            assert f"`{option}" in body, f"{title} {option}"


def options(command: list[str]) -> set[str]:
    """The options of a command besides those that all have."""
    shown = io.StringIO()
    with redirect_stdout(shown), pytest.raises(SystemExit):
        parser().parse_args([*command, "--help"])
    named = set(re.findall(r"^  (-{1,2}[\w-]+)", shown.getvalue(), re.MULTILINE))
    return named - {"-h", "--admin", "--token", "--ca", "--certificate", "--json"}
