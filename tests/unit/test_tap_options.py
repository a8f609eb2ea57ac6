"""The options of `twistd metaproxy`, and what it prints, in this process."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
from twisted.python import usage

from metaproxy.tap import Options, makeService

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
GOOD = "listeners: [{name: front, listen: '127.0.0.1:0', protocol: quill, routes: [{reply: {error: denied}}]}]\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "proxy.yaml"
    path.write_text(GOOD)
    return path


def parsed(*arguments: object) -> Options:
    options = Options()
    options.parseOptions([str(one) for one in arguments])
    return options


def test_twistd_finds_it_by_name() -> None:
    (maker,) = [maker for maker in getPlugins(IServiceMaker) if maker.tapname == "metaproxy"]
    assert maker.options is Options
    assert maker.makeService is makeService


def test_folders_of_plugins_add_up() -> None:
    options = parsed("--config", "x.yaml", "--plugins", "a", "--plugins", "b")
    assert (options["config"], options["plugins"]) == ("x.yaml", ["a", "b"])
    assert parsed("-c", "x.yaml")["plugins"] == []


def test_a_missing_configuration_is_a_mistake_of_usage() -> None:
    with pytest.raises(usage.UsageError, match="--config FILE is missing"):
        parsed()


def test_an_option_that_there_is_not_is_a_mistake_of_usage() -> None:
    with pytest.raises(usage.UsageError):
        parsed("--config", "x.yaml", "--chekc")


def test_check_tells_that_nothing_is_wrong_and_what_there_is(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed("--config", file, "--plugins", EXAMPLES, "--check")
    assert ended.value.code == 0
    assert capsys.readouterr().out.endswith(f"{file}: 1 listener, 0 clusters; nothing is wrong\n")


def test_check_shows_warnings_and_is_content(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(GOOD + "clusters: [{name: spare, endpoints: ['127.0.0.1:1']}]\n")
    with pytest.raises(SystemExit) as ended:
        parsed("--config", file, "--plugins", EXAMPLES, "--check")
    assert ended.value.code == 0
    assert f"warning: {file}:2:19: clusters[0].name: no route leads to cluster 'spare'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (GOOD.replace("quill", "quil"), "no codec 'quil'; did you mean 'quill'?"),
        ("listeners: [", "not YAML"),
        ("", "the file is empty"),
    ],
)
def test_check_tells_what_is_wrong(file: Path, capsys: pytest.CaptureFixture[str], text: str, told: str) -> None:
    file.write_text(text)
    with pytest.raises(SystemExit) as ended:
        parsed("--config", file, "--plugins", EXAMPLES, "--check")
    assert ended.value.code == 1
    out, err = capsys.readouterr()
    assert told in err and out == ""


def test_check_of_a_file_that_is_not_there_tells_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed("--config", tmp_path / "none.yaml", "--check")
    assert ended.value.code == 1
    assert "none.yaml:1:1: No such file or directory" in capsys.readouterr().err


def test_check_tells_of_a_plugin_that_is_broken(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.py").write_text("first = 1\nfirst / 0\n")
    with pytest.raises(SystemExit) as ended:
        parsed("--config", file, "--plugins", EXAMPLES, "--plugins", tmp_path, "--check")
    assert ended.value.code == 1
    assert f"{tmp_path}/broken.py:2:1: the plugin can't be loaded: ZeroDivisionError" in capsys.readouterr().err


def test_what_cannot_start_ends_with_what_is_wrong(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(GOOD.replace("quill", "quil"))
    with pytest.raises(SystemExit) as ended:
        makeService(parsed("--config", file, "--plugins", EXAMPLES))
    assert ended.value.code == 1
    assert "did you mean 'quill'?" in capsys.readouterr().err


def test_a_configuration_that_is_wrong_does_not_start(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text("listeners: 5")
    with pytest.raises(SystemExit) as ended:
        makeService(parsed("--config", file))
    assert ended.value.code == 1
    assert f"{file}:1:12: listeners: " in capsys.readouterr().err


def test_an_address_of_the_admin_api_that_is_taken_is_told_by_name(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SystemExit) as ended:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        file.write_text(f"admin: {{listen: '{listen}'}}\nlisteners: []\n")
        makeService(parsed("--config", file))
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith(f"admin.listen: {listen}: Address already in use")
