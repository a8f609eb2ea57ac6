"""What the documentation shows runs; what conf/ holds starts."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from harness import HEAD, answer, call
from twisted.internet import reactor

from metaproxy.app.application import Application
from metaproxy.app.service import ProxyService
from metaproxy.app.texts import loader_of
from metaproxy.config.build import Builder
from metaproxy.config.check import check
from metaproxy.interfaces import ICodec, IFilter, ILoadBalancer
from metaproxy.message import ErrorKind, Kind, Side
from metaproxy.plugins import Registry
from metaproxy.proxy.flush_queue import FlushQueue
from metaproxy.proxy.transport import Network
from metaproxy.support.addresses import Address, parse
from metaproxy.support.compiled import running
from metaproxy.telemetry.access_log.filter import LogFiles
from metaproxy.testing import check_balancer, check_codec, check_filter

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
CONFIGURATIONS = sorted((ROOT / "conf").glob("*.yaml"))


class AnyPort(Network):
    """Takes a free loopback port in the place of every address that is asked for."""

    def listen(self, where: Address, accepted: Any, backlog: int = 1024) -> Any:
        return super().listen(parse("127.0.0.1:0"), accepted, backlog)


@pytest.fixture
def network() -> Iterator[AnyPort]:
    network = AnyPort(reactor, FlushQueue(reactor))
    yield network
    network.close()


ASKING = {
    "discovery.yaml", "kafka-mirror.yaml", "kafka.yaml", "kubernetes.yaml", "mongodb.yaml", "read-write-splitting.yaml",
    "redis-cluster.yaml", "registries.yaml", "zookeeper.yaml",
}  # fmt: skip
"""Configurations whose endpoints, or their roles, a server has to tell, which is not there."""

SHOWN = {
    "codec": "quill.py", "fifo-codec": "crate.py", "stateful-codec": "ledger.py", "filter": "tenants.py",
    "balancer": "turns.py", "discovery": "sheds.py",
}  # fmt: skip


@pytest.mark.parametrize("name", SHOWN)
def test_a_how_to_shows_the_example_as_it_is(name: str) -> None:
    page = (ROOT / "docs" / "how-to" / f"write-a-{name}.md").read_text()
    assert (EXAMPLES / SHOWN[name]).read_text().rstrip() in page


@pytest.mark.parametrize("name", SHOWN)
def test_the_tests_that_a_how_to_shows_pass(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    page = (ROOT / "docs" / "how-to" / f"write-a-{name}.md").read_text()
    ran = 0
    for sample in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        if "def test_" not in sample:
            continue
        names: dict[str, Any] = {}
        exec(compile(sample, f"write-a-{name}.md", "exec"), names)
        for test, function in list(names.items()):
            if test.startswith("test_"):
                function(*([tmp_path] if function.__code__.co_argcount else []))
                ran += 1
    assert ran or name == "balancer"


@pytest.mark.skipif(running() == "compiled", reason="the signatures are read in the source")
def test_the_pages_of_the_contract_are_made_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    pages = importlib.import_module("interface_pages")
    reference = ROOT / "docs" / "reference"
    assert (reference / "interfaces.md").read_text() == pages.interfaces(), "run docs/generate.py"
    assert (reference / "messages.md").read_text() == pages.messages(), "run docs/generate.py"
    for kind in ErrorKind:
        assert f"| `{kind.name}` (`{kind.value}`) |" in pages.messages()
    for name in ("ISession", "ICodec", "IExchange", "IFilter", "IDiscovery"):
        assert f"\n## {name}\n" in pages.interfaces()


def test_the_codec_with_a_varint_keeps_the_contract() -> None:
    codec: Any = Registry([EXAMPLES]).factory(ICodec, "pebble", {})()
    client = [codec.frame(7, b"\0echo\0hi"), codec.frame(300, b"\1tell\0hi")]
    check_codec(codec, client=client, server=[codec.frame(7, b"\2hi"), codec.frame(7, b"\3no")])


def test_the_codec_of_the_how_to_has_at_most_thirty_lines_and_keeps_the_contract() -> None:
    code = [line for line in (EXAMPLES / "quill.py").read_text().splitlines() if line.strip()]
    assert len(code) <= 30
    make: Callable[[], Any] = Registry([EXAMPLES]).factory(ICodec, "quill", {})
    check_codec(make(), client=[call(7), call(8, "other", b"x" * 100)], server=[answer(7), HEAD.pack(9, 7, 0x80)])
    (message,) = make().session(Side.CLIENT, 100).receive(call(7))
    assert (message.kind, message.get("service")) == (Kind.REQUEST, "echo")


def test_the_filter_and_the_balancer_of_the_how_tos_keep_the_contract() -> None:
    registry = Registry([EXAMPLES])
    check_filter(registry.factory(IFilter, "tenants", {"allowed": ["blue"]})())
    turns: Callable[..., Any] = registry.factory(ILoadBalancer, "turns", {})
    check_balancer(turns, weighted=False)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where conf/certificates.py wrote what conf/tls.yaml needs."""
    folder: Path = tmp_path_factory.mktemp("certificates")
    subprocess.run([sys.executable, ROOT / "conf" / "certificates.py", folder], check=True)
    return folder


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.name)
@pytest_twisted.inlineCallbacks
def test_a_configuration_of_conf_is_right_and_starts(
    path: Path, network: AnyPort, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    monkeypatch.setenv("CERTIFICATES", str(certificates))
    config, problems = check(path.read_text(), str(path), Registry(), loader=loader_of())
    assert not problems and config is not None and not config.warnings
    registry = Registry()
    proxy = ProxyService(network, registry)
    builder = Builder(registry, reactor, LogFiles(reactor))
    configuration = Application(str(path), [], proxy, builder, reactor, loader_of())
    assert configuration.reload() == []
    proxy.startService()
    found = all(cluster.warm for cluster in proxy.clusters.values())  # what a name server would have to tell is not
    assert proxy.ready is found and found is (path.name not in ASKING)
    assert [len(listener.bound()) for listener in proxy.listeners.values()] == [
        len(listener.listen) for listener in config.listeners
    ]
    yield proxy.stopService()


def test_the_readmes_configuration_is_right(tmp_path: Path) -> None:
    page = (ROOT / "README.md").read_text()
    text = page.partition("```yaml\n")[2].partition("```")[0]
    assert check(text, "readme.yaml", Registry())[1] == []
    tutorial = (ROOT / "docs" / "tutorial" / "first-proxy.md").read_text()
    lines = tutorial.partition("```yaml\n")[2].partition("```")[0]
    assert check("\n".join(line[3:] for line in lines.splitlines()), "first.yaml", Registry())[1] == []


def test_links_between_the_pages_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def test_each_filter_has_its_section_once_and_in_order() -> None:
    page = (ROOT / "docs" / "reference" / "filters.md").read_text()
    sections = re.findall(r"^## (\w+)\n\n(?=[^#\s])", page, re.MULTILINE)
    assert len(sections) == page.count("\n## "), "a section without a text"
    declared = [row["name"] for row in Registry().listing() if row["kind"] == "filter"]
    assert [name for name in sections if name.islower()] == sorted(map(str, declared))


def _extras(page: str) -> list[str]:
    """The extras that a text asks to install."""
    found = re.findall(r"pip install[^`\n]*?\[([\w, ]+)\]", page)
    return [extra.strip() for one in found for extra in one.split(",")]


def test_what_is_to_be_installed_can_be() -> None:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    known = set(setup["options.extras_require"])
    pages = [
        ROOT / "README.md",
        *(ROOT / "docs").rglob("*.md"),
        *(path for path in (ROOT / "conf").rglob("*") if path.is_file()),
        *(ROOT / "metaproxy").rglob("*.py"),
    ]
    for page in pages:
        text = page.read_text()
        assert "metaproxy[" not in re.sub(r"\w\.metaproxy\[", "", text), (
            f"{page.relative_to(ROOT)}: no index has metaproxy"
        )
        assert set(_extras(text)) <= {*known, "{extra}"}, page.relative_to(ROOT)
        assert set(re.findall(r"\binstall\('(\w+)'\)", text)) <= known, page.relative_to(ROOT)
    assert "tls" in _extras((ROOT / "docs" / "how-to" / "encrypt-connections.md").read_text())
