"""Without tokens no caller of the admin API names a file that the configuration's own file does not name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from harness import MemoryNetwork

from metaproxy.app.application import Application
from metaproxy.app.service import ProxyService
from metaproxy.config.build import Builder
from metaproxy.config.check import check
from metaproxy.config.named_files import named_files
from metaproxy.plugins import Registry
from metaproxy.telemetry.access_log.filter import LogFiles

PLUGIN = """
from zope.interface import implementer
from metaproxy.interfaces import IFilter, IOnRequest
from metaproxy.plugins import Declaration

@implementer(IOnRequest)
class Words:
    def __init__(self, words_file="", note="", nested: dict = {}):
        pass

    def on_request(self, exchange):
        return None

words = Declaration(IFilter, "words", Words)
"""


class Socket:
    bound = ""

    def hand_to(self, accepted: Any) -> None:
        """The tests have no clients."""

    def close(self) -> None:
        """Nothing is open."""


class Network(MemoryNetwork):
    def listen(self, where: Any, accepted: Any) -> Any:
        return Socket()


class Stand:
    def __init__(self, folder: Path, base: dict[str, Any]) -> None:
        self.folder = folder
        self.base = base
        (folder / "proxy.yaml").write_text(yaml.safe_dump(base))
        registry, network = Registry(), Network()
        proxy = ProxyService(network, registry)
        logs: Any = LogFiles(network.clock)
        # No thread closes files.
        logs.keep = lambda paths: None
        builder = Builder(registry, network.clock, logs)
        self.configuration = Application(str(folder / "proxy.yaml"), [], proxy, builder, network.clock)
        assert self.configuration.reload() == []

    def put(self, changed: dict[str, Any]) -> list[str]:
        return self.configuration.put_text(yaml.safe_dump(changed))

    def check(self, changed: dict[str, Any]) -> list[str]:
        return [str(one) for one in self.configuration.check_put(yaml.safe_dump(changed))[0]]


def base(folder: Path) -> dict[str, Any]:
    (folder / "plugins").mkdir(exist_ok=True)
    (folder / "plugins" / "words.py").write_text(PLUGIN)
    (folder / "secret").write_text("x")
    return {
        "plugins": [str(folder / "plugins")],
        "secrets": {"one": {"file": str(folder / "secret")}},
        "record": {"folder": str(folder)},
        "runtime": {"log": str(folder / "live.log")},
        "listeners": [
            {
                "name": "l", "listen": ["127.0.0.1:7000"], "protocol": "redis",
                "access_log": [{"file": str(folder / "a.log")}, {"file": {"runtime": "log"}}],
                "filters": [{"words": {"words_file": "w.txt", "note": "hello", "nested": {"a": ["b"]}}}],
                "routes": [{"cluster": "c"}],
            }
        ],
        "clusters": [{"name": "c", "discovery": {"file": str(folder / "ends.yaml"), "refresh": "5s"}}],
    }  # fmt: skip


CHANGES = {
    "plugins": lambda c, f: c["plugins"].append(str(f / "other")),
    "secrets": lambda c, f: c["secrets"].update(two={"file": "/etc/hostname"}),
    "record": lambda c, f: c["record"].update(folder="/tmp"),
    "access log": lambda c, f: c["listeners"][0]["access_log"].append({"file": str(f / "plugins" / "x.py")}),
    "an access log in the place of a certificate": lambda c, f: c["listeners"][0]["access_log"].append(
        {"file": str(f / "secret")}
    ),
    "discovery": lambda c, f: c["clusters"][0]["discovery"].update(file=str(f / "secret")),
    "option of a plugin": lambda c, f: c["listeners"][0]["filters"][0]["words"].update(words_file="other.txt"),
    "path in an option of a plugin": lambda c, f: c["listeners"][0]["filters"][0]["words"].update(note="/etc/passwd"),
    "path deep in an option": lambda c, f: c["listeners"][0]["filters"][0]["words"].update(nested={"a": ["../b"]}),
    "override of a route": lambda c, f: c["listeners"][0]["routes"][0].update(
        filters={"words": {"words_file": "other.txt"}}
    ),
    "jwt": lambda c, f: c["listeners"][0]["filters"].append(
        {"jwt": {"providers": {"p": {"jwks": {"file": str(f / "jwks.json")}, "algorithms": ["HS256"]}}}}
    ),
    "live value": lambda c, f: c["runtime"].update(log=str(f / "other.log")),
    "socket": lambda c, f: c["listeners"][0]["listen"].append(f"unix:{f}/x.sock"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_was_not_named_is_refused_and_nothing_changes(tmp_path: Path, change: str) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "evil.py").write_text("import builtins; builtins.evil = True\n")
    (tmp_path / "jwks.json").write_text('{"keys": [{"kty": "oct", "k": "' + "A" * 64 + '"}]}')
    stand = Stand(tmp_path, base(tmp_path))
    changed = base(tmp_path)
    CHANGES[change](changed, tmp_path)
    version = stand.configuration.applied
    lines = stand.put(changed)
    assert any("admin.tokens" in line for line in lines), lines
    assert any("admin.tokens" in line for line in stand.check(changed))
    assert stand.configuration.applied == version
    import builtins

    assert not hasattr(builtins, "evil"), "no code of a folder that is refused may run"


@pytest.mark.parametrize("change", [change for change in CHANGES if change != "jwt"])
def test_with_tokens_it_is_taken(tmp_path: Path, change: str) -> None:
    (tmp_path / "other").mkdir()
    guarded = {**base(tmp_path), "admin": {"tokens": {"write": "secret"}}}
    stand = Stand(tmp_path, guarded)
    changed = {**base(tmp_path), "admin": {"tokens": {"write": "secret"}}}
    CHANGES[change](changed, tmp_path)
    assert stand.put(changed) == []


def test_the_same_files_pass_and_all_else_can_be_changed(tmp_path: Path) -> None:
    stand = Stand(tmp_path, base(tmp_path))
    changed = base(tmp_path)
    changed["listeners"][0].update(max_connections=5, name="other")
    changed["listeners"][0]["filters"][0]["words"].update(note="hello world", nested={"a": ["c"]})
    changed["clusters"][0]["discovery"]["refresh"] = "7s"
    assert stand.put(changed) == []


def test_what_was_left_out_can_be_put_back(tmp_path: Path) -> None:
    stand = Stand(tmp_path, base(tmp_path))
    without = base(tmp_path)
    without["listeners"][0]["access_log"] = []
    assert stand.put(without) == []
    assert stand.put(base(tmp_path)) == []


def test_a_live_value_that_is_a_file_can_not_be_changed_either(tmp_path: Path) -> None:
    stand = Stand(tmp_path, base(tmp_path))
    (line, *_) = stand.configuration.set_live("log", str(tmp_path / "plugins" / "x.py"))
    assert "admin.tokens" in line
    assert stand.configuration.live == {}


def test_the_error_says_where(tmp_path: Path) -> None:
    stand = Stand(tmp_path, base(tmp_path))
    changed = base(tmp_path)
    changed["listeners"][0]["access_log"].append({"file": "/tmp/x.log"})
    (line,) = stand.put(changed)
    assert "listeners[0].access_log[2].file: file: /tmp/x.log" in line


def test_the_file_itself_may_change_everything(tmp_path: Path) -> None:
    stand = Stand(tmp_path, base(tmp_path))
    changed = base(tmp_path)
    CHANGES["access log"](changed, tmp_path)
    (tmp_path / "proxy.yaml").write_text(yaml.safe_dump(changed))
    assert stand.configuration.reload() == []
    assert stand.put(changed) == []


def test_options_of_our_own_plugins_with_a_slash_are_no_files(tmp_path: Path) -> None:
    text = (
        "listeners: [{name: l, listen: '127.0.0.1:1', protocol: redis, filters: "
        "[{rbac: {policies: {p: {principals: [{path: {prefix: /api}}]}}}}]}]"
    )
    registry = Registry()
    config, problems = check(text, "x.yaml", registry)
    assert problems == []
    assert list(named_files(config, registry.load)) == []
