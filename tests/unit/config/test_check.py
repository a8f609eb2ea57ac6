"""A whole text to a configuration, or to everything that is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from checked import REGISTRY, accepted, mesh, refused
from twisted.internet.task import Clock

from metaproxy.config.check import check, plugin_folders
from metaproxy.config.schema.nodes import MAX_PROBLEMS
from metaproxy.plugins import Registry

# -- as a whole


def test_a_right_configuration_knows_where_it_came_from() -> None:
    config = accepted(mesh())
    assert config.source == "x.yaml"
    assert config.warnings == ()
    assert config.listeners[0].routes[0].cluster == "demo"


def test_all_problems_are_told_at_once_in_the_order_of_the_file() -> None:
    text = """\
listeners:
  - name: in
    listen: 0.0.0.0
    protocol: duboo
    max_conections: 5
    routes:
      - match: {method: {prefx: say}}
        cluster: dmeo
      - cluster: demo
        timeout: ${NONE}
clusters:
  - name: demo
    endpoints: [127.0.0.1:20881, 127.0.0.1:0]
    tls: {veriyf: true}
    request_timeout: 15 s
"""
    assert refused(text) == [
        "3:13: listeners[0].listen: '0.0.0.0' is not an address; write host:port, [v6]:port or unix:/path",
        "4:15: listeners[0].protocol: no codec 'duboo'; did you mean 'dubbo'?",
        "5:5: listeners[0].max_conections: unknown key 'max_conections'; did you mean 'max_connections'?",
        "7:25: listeners[0].routes[0].match.method: no matcher 'prefx'; did you mean 'prefix'?",
        "8:18: listeners[0].routes[0].cluster: no cluster 'dmeo'; did you mean 'demo'?",
        "10:18: listeners[0].routes[1].timeout: no environment variable NONE; ${NONE:-default} would give it a default",
        "13:34: clusters[0].endpoints[1]: '127.0.0.1:0' is not an address; write host:port, [v6]:port or unix:/path",
        "14:11: clusters[0].tls.veriyf: unknown key 'veriyf'; did you mean 'verify'?",
        "15:22: clusters[0].request_timeout: '15 s' is not a duration; write 15s, 500ms, 5m or a number of seconds",
    ]


@pytest.mark.parametrize("text", ["", "5", "[]", "a", "null", "'", "listeners: 5", "clusters: {}", "listeners: [[]]"])
def test_what_is_no_configuration_at_all_is_refused(text: str) -> None:
    assert len(refused(text)) == 1


def test_variables_come_from_the_environment_unless_others_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METAPROXY_TEST_ID", "three")
    config, _ = check("node: {id: '${METAPROXY_TEST_ID}'}", "x.yaml", REGISTRY)
    assert config is not None and config.node.id == "three"
    assert refused("node: {id: '${METAPROXY_TEST_ID}'}") != []


def test_a_number_of_processes_is_one_that_a_machine_can_have() -> None:
    config, _ = check("{workers: 4, pin_workers: yes}", "x.yaml", REGISTRY)
    assert config is not None and (config.workers, config.pin_workers) == (4, True)
    for number in ("0", "257", "true", "some"):
        (problem,) = refused(f"workers: {number}")
        assert "write 1 to 256, or auto" in str(problem)


def test_a_file_in_which_everything_is_wrong_is_given_up_early() -> None:
    assert len(refused("clusters:\n" + "- 5\n" * 10_000)) == MAX_PROBLEMS
    assert len(refused("\n".join(f"k{i}: 1" for i in range(10_000)))) == MAX_PROBLEMS
    routes = "".join(f"  - cluster: x{i}\n" for i in range(2_000))
    clusters = "".join(f"- {{name: y{i}, endpoints: []}}\n" for i in range(2_000))
    text = f"listeners:\n- name: a\n  listen: a:1\n  protocol: dubbo\n  routes:\n{routes}clusters:\n{clusters}"
    assert len(refused(text)) == MAX_PROBLEMS


def test_json_is_a_configuration_too() -> None:
    text = '{"clusters": [{"name": "demo", "endpoints": ["127.0.0.1:1"], "request_timeout": 2}]}'
    assert accepted(text).clusters[0].request_timeout == 2.0


# -- plugins


def test_plugins_are_built_with_what_is_injected() -> None:
    class Late(Clock):
        def seconds(self) -> float:
            raise ValueError("it is late")

    text = mesh(listener=", filters: [{gate: {wait: 1}}]")
    accepted(text)
    config, problems = check(text, "x.yaml", REGISTRY, {}, injected={"clock": Late()})
    assert config is None
    assert [problem.text for problem in problems] == ["gate: it is late"]


# -- plugins' folders


def test_the_folders_of_plugins_start_at_the_file(tmp_path: Path) -> None:
    file = str(tmp_path / "demo.yaml")
    assert plugin_folders("plugins: [./a, /b]", file) == [tmp_path / "a", Path("/b")]
    assert plugin_folders("plugins: a", file) == [tmp_path / "a"]
    assert plugin_folders("plugins: '${X}'", file, {"X": "c"}) == [tmp_path / "c"]
    assert plugin_folders("plugins: a", file, folder=Path("/f")) == [Path("/f/a")]


@pytest.mark.parametrize("text", ["", "[", "5", "plugins: 5", "plugins: {}", "listeners: []"])
def test_folders_that_cannot_be_read_are_none(text: str) -> None:
    assert plugin_folders(text, "x.yaml") == []


# -- what is wrong deep within filters


def test_a_wrong_policy_and_a_wrong_fault_are_told_with_their_lines() -> None:
    filters = """, filters: [
  {rbac: {policies: {
    good: {},
    bad: {permissions: [{method: {prefx: a}}]}}}},
  {fault: {faults: [
    {delay: 1s},
    {dely: 1s}]}}]"""
    first, second = refused(mesh(listener=filters, protocol="thrift"))
    assert first.startswith("4:") and "permissions: rbac: method: no matcher 'prefx'" in first
    assert second.startswith("7:") and "faults[1]: unknown key 'dely'; did you mean 'delay'?" in second


# -- health checks


def test_a_health_check_is_read_in_each_of_its_forms() -> None:
    def kinds(text: str) -> Any:
        check = accepted(mesh(protocol="redis", cluster=f", health_check: {{kind: {text}}}")).clusters[0].health_check
        assert check is not None
        return check.kind

    assert kinds("tcp") == ("tcp",)
    assert kinds("[tcp, codec]") == ("tcp", "codec")
    (script,) = kinds("{script: {send: 0d0a, expect: '^[+]PONG'}}")
    assert (script.script.send, script.script.expect) == (b"\r\n", "^[+]PONG")
    (http,) = kinds("{http: {path: /health, status: [200, 204]}}")
    assert (http.http.path, http.http.status) == ("/health", (200, 204))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("ping", "no health check 'ping'; there is codec, http, script, tcp"),
        ("tpc", "no health check 'tpc'; did you mean 'tcp'?"),
        ("script", "no health check 'script'; write {script: {expect: ...}}"),
        ("{script: {}}", "expect is missing"),
        ("{http: {}, script: {expect: a}}", "exclude each other"),
    ],
)
def test_a_health_check_that_is_none_is_told(kind: str, text: str) -> None:
    (told,) = refused(mesh(cluster=f", health_check: {{kind: {kind}}}"))
    assert text in told


@pytest.mark.parametrize(
    ("written", "part"),
    [
        ("{trusted: [10.0.0.1/8]}", "10.0.0.0/8"), ("{trusted: []}", "at least 1"), ("{}", "trusted is missing"),
        ("{trustde: [10.0.0.0/8]}", "did you mean 'trusted'?"), ("maybe", "neither true nor false"),
    ],
)  # fmt: skip
def test_a_wrong_list_of_trusted_networks_is_refused_with_what_to_write(written: str, part: str) -> None:
    text = f"listeners: [{{name: l, listen: '0.0.0.0:1', protocol: redis, proxy_protocol: {written}}}]"
    config, problems = check(text, "x.yaml", Registry())
    assert config is None
    assert part in problems[0].text
