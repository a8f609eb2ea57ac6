"""A whole text to a configuration or to everything that is wrong: the rules between keys, secrets, warnings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from checked import REGISTRY, accepted, mesh, refused, warned
from twisted.internet.task import Clock

from metaproxy.config.check import MAX_SECRET, check, plugin_folders
from metaproxy.config.schema.load import MAX_PROBLEMS
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


def test_more_than_one_process_is_refused_for_nothing_would_come_of_it() -> None:
    for number in ("2", "auto", "0", "true"):
        (problem,) = refused(f"workers: {number}")
        assert "not supported yet" in str(problem)


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


# -- listeners and routes


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (mesh("[{clusters: §{demo: 0}}]"), "routes[0].clusters: all weights are 0; one at least must be above"),
        (
            mesh("[{cluster: demo, name: a}, {cluster: demo, name: §a}]"),
            "routes[1].name: a route 'a' is there already, in line 1",
        ),
        (
            mesh("[{clusters: {demo: 1, §dem: 2}}]"),
            "routes[0].clusters.dem: no cluster 'dem'; did you mean 'demo'?",
        ),
        (
            mesh("[{cluster: demo, request: §{set: {a: 1}}}]", "mute"),
            "routes[0].request: messages of mute can't be changed: the protocol has no place for metadata",
        ),
        (
            mesh("[{cluster: demo, filters: {§gate: {wait: 1}}}]"),
            "routes[0].filters.gate: the listener has no filter 'gate'; no filter is defined",
        ),
        (
            mesh("[{cluster: demo, filters: {gate: {§wiat: 1}}}]", listener=", filters: [{gate: {wait: 1}}]"),
            "routes[0].filters.gate.wiat: gate: no option 'wiat'; did you mean 'wait'?",
        ),
        (
            mesh("[{reply: {error: §not_fund}}]"),
            "routes[0].reply.error: 'not_fund' is not known here; did you mean 'not_found'?",
        ),
        (mesh("[§{match: {a: b}}]"), "routes[0]: one of cluster, clusters, reply is missing"),
        (
            mesh("[{cluster: demo, §reply: {error: denied}}]"),
            "routes[0].reply: cluster and reply exclude each other; write one of them",
        ),
        (mesh("§{rds: {name: x}}"), "routes: rds: not supported yet in this version; write a list"),
    ],
)
def test_a_route_must_make_sense_where_it_stands(text: str, problem: str) -> None:
    """§ stands before what is at fault."""
    assert refused(text.replace("§", "")) == [f"1:{text.index('§') + 1}: listeners[0].{problem}"]


def test_a_route_is_not_blamed_for_a_filter_that_is_written_wrong() -> None:
    for filters in ("[{gate: {wiat: 1}}]", "[gaet]", "", "gate"):
        text = mesh("[{cluster: demo, filters: {gate: off}}]", listener=f", filters: {filters}")
        assert len(refused(text)) == 1


def test_a_route_that_can_never_be_reached_is_a_warning() -> None:
    assert warned(mesh("[{cluster: demo}, {cluster: demo, match: {a: b}}]")) == [
        "1:90: listeners[0].routes[1]: never reached: listeners[0].routes[0], in line 1, takes every request"
    ]
    assert warned(mesh("[{cluster: demo, percent: 99}, {cluster: demo}]")) == []
    assert warned(mesh("[{cluster: demo, match: {a: b}}, {cluster: demo}]")) == []


def test_a_listener_without_routes_is_a_warning() -> None:
    assert warned(mesh("[]"))[0] == "1:13: listeners[0]: no routes; every request is answered with not_found"


def test_a_subset_that_no_endpoint_is_in_is_a_warning() -> None:
    (warning,) = warned(mesh("[{cluster: demo, subset: {version: v2}}]"))
    assert warning.endswith("listeners[0].routes[0].subset: no endpoint of cluster 'demo' has version: v2")


def test_a_slow_start_of_a_balancer_that_hashes_is_a_warning() -> None:
    (warning,) = warned(mesh(cluster=", slow_start: 30s, balancer: {name: maglev, key: user}"))
    assert warning.endswith("slow_start: has no effect: keys would move to and fro with the weights of maglev")
    assert warned(mesh(cluster=", slow_start: 30s")) == []


def test_a_preference_of_a_zone_that_the_proxy_does_not_know_is_a_warning() -> None:
    (warning,) = warned(mesh(cluster=", locality: {min_healthy: 80}"))
    assert warning.endswith("locality: has no effect: node.zone, the proxy's own zone, is not given")
    assert warned(mesh(cluster=", locality: {}") + "node: {zone: a}\n") == []


def test_a_hash_that_the_balancer_does_not_look_at_is_a_warning() -> None:
    for balancer in ("", ", balancer: round_robin"):
        (warning,) = warned(mesh("[{cluster: demo, hash: user}]", cluster=balancer))
        assert warning.endswith("has no effect: the balancer of cluster 'demo', round_robin, looks at no hash")
    assert warned(mesh("[{cluster: demo, hash: user}]", cluster=", balancer: narrow")) == []


def test_a_cluster_that_no_route_leads_to_is_a_warning() -> None:
    (warning,) = warned(mesh("[{reply: {error: denied}}]"))
    assert warning == "2:19: clusters[0].name: no route leads to cluster 'demo'"


@pytest.mark.parametrize(
    ("one", "other", "free"),
    [
        ("127.0.0.1:80", "127.0.0.1:80", False),
        ("127.0.0.1:80", "127.0.0.1:81", True),
        ("127.0.0.1:80", "127.0.0.2:80", True),
        ("127.0.0.1:80", "0.0.0.0:80", False),
        ("'[::]:80'", "'[::1]:80'", False),
        ("'[::1]:80'", "127.0.0.1:80", True),
        ("127.0.0.1:0", "127.0.0.1:0", True),
        ("unix:/a", "unix:/a", False),
        ("unix:/a", "unix:/b", True),
        ("0.0.0.0:9901", "127.0.0.1:80", False),
        ("'[::]:9901'", "127.0.0.1:80", True),
    ],
)
def test_no_two_may_listen_at_one_address(one: str, other: str, free: bool) -> None:
    text = (
        f"listeners:\n- {{name: a, protocol: dubbo, listen: [{one}, unix:/x]}}\n"
        f"- {{name: b, protocol: dubbo, listen: {other}}}\n"
    )
    problems = refused(text)
    assert (problems == []) is free
    assert all("is taken already, by " in problem for problem in problems)


def test_what_is_taken_is_told_with_its_place() -> None:
    text = "listeners:\n- {name: a, listen: a:1, protocol: dubbo}\n- {name: b, listen: [b:1, a:1], protocol: dubbo}"
    assert refused(text) == ["3:27: listeners[1].listen[1]: a:1 is taken already, by listeners[0].listen in line 2"]
    assert refused("listeners: [{name: a, listen: 127.0.0.1:9901, protocol: dubbo}]") == [
        "1:31: listeners[0].listen: 127.0.0.1:9901 is taken already, by admin, by default"
    ]


@pytest.mark.parametrize(
    ("log", "problem"),
    [
        ("{file: /dev/stdout}", None),
        ("{file: /dev/null, format: json}", None),
        ("{file: new.log, format: '%START_TIME%'}", None),
        ("{file: /nowhere/at/all.log}", "/nowhere/at/all.log: there is no such folder"),
        ("{file: /dev}", "/dev is a folder"),
        ("{file: /dev/null, format: jsn}", "'jsn' is no format; write text, json, or a line with operators such as "
         "%DURATION%"),
    ],
)  # fmt: skip
def test_an_access_log_must_be_writable_somewhere(log: str, problem: str | None, tmp_path: Path) -> None:
    problems = refused(mesh(listener=f", access_log: [{log}]"), tmp_path)
    assert [one.partition("access_log[0].")[2].partition(": ")[2] for one in problems] == ([problem] if problem else [])


# -- clusters


def test_an_endpoint_stands_once_in_its_cluster() -> None:
    text = "clusters:\n- name: a\n  endpoints:\n  - b:1\n  - {address: b:1, weight: 2}\n"
    assert refused(text) == ["5:15: clusters[0].endpoints[1].address: b:1 is there already, in line 4"]


def test_a_cluster_without_endpoints_is_a_warning_and_one_without_the_key_is_wrong() -> None:
    assert (
        "no endpoints; every request is answered with no_endpoint" in warned("clusters: [{name: a, endpoints: []}]")[1]
    )
    assert refused("clusters: [{name: a}]") == ["1:12: clusters[0]: endpoints is missing"]


TWO_MODES = """
listeners:
  - {name: a, listen: "127.0.0.1:1", protocol: redis, routes: [{cluster: demo}]}
  - {name: b, listen: "127.0.0.1:2", protocol: {name: redis, mode: pinned}, routes: [{cluster: demo}]}
clusters:
  - {name: demo, endpoints: ["127.0.0.1:3"]}
"""


def test_clients_with_connections_of_their_own_and_others_have_clusters_of_their_own() -> None:
    (problem,) = refused(TWO_MODES)
    assert "clients of listener 'b' and listener 'a' differ in whether connections are shared (mode)" in problem
    assert problem.endswith("give each a cluster of its own")
    accepted(TWO_MODES.replace("protocol: redis", "protocol: {name: redis, mode: pinned}"))
    own = TWO_MODES.replace("protocol: redis,", "protocol: {name: redis, mode: pinned},").replace(
        '"127.0.0.1:3"]', '"127.0.0.1:3"], protocol: redis'
    )
    assert all("the cluster's own protocol differ" in problem for problem in refused(own))


def test_a_retry_for_clients_with_connections_of_their_own_is_warned_of() -> None:
    text = TWO_MODES.replace("protocol: redis,", "protocol: {name: redis, mode: pinned},")
    (warning,) = warned(text.replace("[{cluster: demo}]", "[{cluster: demo, retry: {attempts: 2}}]", 1))
    assert "has no effect behind a client's first request" in warning


def test_a_pinned_protocol_needs_no_connections_mode_and_takes_no_other() -> None:
    text = TWO_MODES.replace("protocol: redis,", "protocol: {name: redis, mode: pinned},")
    assert accepted(text).clusters[0].connections.mode is None
    assert (
        "leave out its connections.mode (multiplex), or write pinned"
        in refused(text.replace('"127.0.0.1:3"]', '"127.0.0.1:3"], connections: {mode: multiplex}'))[0]
    )


def test_a_cluster_speaks_what_its_clients_speak() -> None:
    (problem,) = refused(mesh(cluster=", protocol: mute"))
    assert problem.endswith("cluster 'demo' speaks mute, clients of the listener dubbo; metaproxy does not translate")
    accepted(mesh(cluster=", protocol: {name: dubbo, depth: 3}"))


def test_a_protocol_that_needs_a_connection_a_client_gets_no_other() -> None:
    accepted(mesh(protocol="held"))
    accepted(mesh(protocol="held", cluster=", connections: {mode: pinned}"))
    (problem,) = refused(mesh(protocol="held", cluster=", connections: {mode: pool}"))
    assert "each client of held needs a connection of its own to cluster 'demo'" in problem


def test_a_balancer_is_built_from_its_endpoints() -> None:
    accepted(mesh(cluster=", balancer: narrow"))
    two = "clusters:\n- name: a\n  endpoints: [b:1, b:2]\n  balancer: {name: narrow%s}\n"
    assert refused(two % "") == ["4:20: clusters[0].balancer.name: narrow: 2 endpoints; it serves 1 at most"]
    accepted(two % ", most: 2")
    assert refused(two % ", mots: 2") == [
        "4:28: clusters[0].balancer.mots: narrow: no option 'mots'; did you mean 'most'?"
    ]


def test_plugins_are_built_with_what_is_injected() -> None:
    class Late(Clock):
        def seconds(self) -> float:
            raise ValueError("it is late")

    text = mesh(listener=", filters: [{gate: {wait: 1}}]")
    accepted(text)
    config, problems = check(text, "x.yaml", REGISTRY, {}, injected={"clock": Late()})
    assert config is None
    assert [problem.text for problem in problems] == ["gate: it is late"]


# -- admin


@pytest.mark.parametrize(
    "admin",
    [
        "listen: 127.0.0.1:1",
        "listen: 127.9.9.9:1",
        "listen: '[::1]:1'",
        "listen: localhost:1",
        "listen: unix:/run/x.sock",
        "listen: 0.0.0.0:1, insecure: true",
        "listen: 0.0.0.0:1, tokens: {read: a}",
        "listen: 0.0.0.0:1, tokens: {read: a, write: b}",
    ],
)
def test_the_admin_address_is_local_or_guarded(admin: str) -> None:
    accepted(f"admin: {{{admin}}}")


@pytest.mark.parametrize("address", ["0.0.0.0:1", "'[::]:1'", "10.0.0.1:1", "example.org:1", "localhost.example.org:1"])
def test_an_admin_address_that_others_can_reach_is_refused(address: str) -> None:
    (problem,) = refused(f"admin: {{listen: {address}}}")
    assert "give tokens: or tls:, or say insecure: true" in problem
    assert problem.startswith("1:17: admin.listen: others can reach ")


def test_a_guard_that_is_written_wrong_is_told_once() -> None:
    assert refused("admin: {listen: 0.0.0.0:1, tokens: 5}") == [
        "1:36: admin.tokens: 5 is not a mapping with read, write"
    ]
    assert refused("admin: {listen: 0.0.0.0:1, tokens: {}}") == [
        "1:36: admin.tokens: no token; write read: or write:, or both"
    ]
    assert refused("admin: {listen: 0.0.0.0:1, token: {read: a}}") == [
        "1:28: admin.token: unknown key 'token'; did you mean 'tokens'?"
    ]


# -- secrets


SECRET = "\nsecrets: {pw: {%s}}"


def password(source: str, folder: Path = Path("/etc"), **environ: str) -> str:
    config = accepted(mesh(cluster=", credentials: {password: {secret: pw}}") + SECRET % source, folder, **environ)
    return config.clusters[0].credentials["password"]


def test_a_secret_comes_from_a_file_a_variable_or_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("hunter2\n")
    assert password("file: pw", tmp_path) == "hunter2"
    assert password(f"file: {tmp_path}/pw") == "hunter2"
    assert password("env: PW", PW="hunter2") == "hunter2"
    assert password("value: hunter2") == "hunter2"


def test_only_a_line_break_at_the_end_is_not_part_of_a_secret(tmp_path: Path) -> None:
    for content, text in {"a\n": "a", "a\r\n": "a", "a\n\n": "a\n", " a ": " a ", "": ""}.items():
        (tmp_path / "pw").write_bytes(content.encode())
        assert password("file: pw", tmp_path) == text


def test_a_secret_that_cannot_be_read_is_told_once_at_its_place(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * (MAX_SECRET + 1))
    (tmp_path / "bytes").write_bytes(b"\xff")
    os.mkfifo(tmp_path / "pipe")
    users = ", credentials: {password: {secret: pw}}, protocol: {name: dubbo, password: {secret: pw}}"
    for source, text in {
        "file: none": f"secrets.pw.file: {tmp_path}/none: no such file",
        "file: large": f"secrets.pw.file: {tmp_path}/large: more than 65536 bytes",
        "file: bytes": f"secrets.pw.file: {tmp_path}/bytes: not a text in UTF-8",
        "file: pipe": f"secrets.pw.file: {tmp_path}/pipe: not a file",
        "file: .": f"secrets.pw.file: {tmp_path}: not a file",
        "env: NONE": "secrets.pw.env: no environment variable NONE",
    }.items():
        (problem,) = refused(mesh(cluster=users) + SECRET % source, tmp_path)
        assert problem.partition(" ")[2] == text
    assert [one.partition(": ")[2] for one in refused(mesh(cluster=users) + SECRET % "value: a, env: B")] == [
        "secrets.pw.env: value and env exclude each other; write one of them"
    ]


def test_a_secret_of_no_name_is_told_with_the_nearest() -> None:
    text = mesh(cluster=", credentials: {password: {secret: redis-pasword}}") + "secrets: {redis-password: {value: x}}"
    assert refused(text)[0].endswith("no secret 'redis-pasword'; did you mean 'redis-password'?")


def test_no_secret_is_in_any_problem_or_warning_or_in_what_is_printed() -> None:
    text = mesh(protocol="{name: dubbo, depth: 0, password: {secret: pw}}") + SECRET % "value: hunter2"
    problems = refused(text)
    assert problems != []
    assert all("hunter2" not in problem for problem in problems)
    assert "hunter2" not in repr(accepted(text.replace("depth: 0", "depth: 1")))


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


def test_a_folder_that_is_not_there_is_a_warning() -> None:
    assert warned("plugins: [/nowhere/at/all]") == ["1:10: plugins: /nowhere/at/all is no folder, or not yet"]


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


# -- names of errors


def test_a_fault_names_errors_that_the_listeners_protocol_has() -> None:
    filters = ", filters: [{fault: {faults: [{error: {name: LOADING}}]}}]"
    (told,) = refused(mesh(listener=filters, protocol="thrift"))
    assert told.endswith("listeners[0].filters[0].fault: fault: thrift has no error 'LOADING'")
    accepted(mesh(listener=filters, protocol="redis"))


def test_the_same_holds_for_the_options_that_a_route_gives() -> None:
    routes = "[{cluster: demo, filters: {fault: {faults: [{error: {name: NAME}}]}}}]"
    filters = ", filters: [{fault: {faults: []}}]"
    (told,) = refused(mesh(routes.replace("NAME", "LOADING"), "thrift", filters))
    assert told.endswith("routes[0].filters.fault: fault: thrift has no error 'LOADING'")
    accepted(mesh(routes.replace("NAME", "internal_error"), "thrift", filters))


# -- health checks


def test_a_health_check_is_read_in_each_of_its_forms() -> None:
    def kinds(text: str) -> object:
        check = accepted(mesh(protocol="redis", cluster=f", health_check: {{kind: {text}}}")).clusters[0].health_check
        assert check is not None
        return check.kind

    assert kinds("tcp") == ("tcp",)
    assert kinds("[tcp, codec]") == ("tcp", "codec")
    (script,) = kinds("{script: {send: 0d0a, expect: '^[+]PONG'}}")  # type: ignore[misc]
    assert (script.script.send, script.script.expect) == (b"\r\n", "^[+]PONG")  # type: ignore[has-type]
    (http,) = kinds("{http: {path: /health, status: [200, 204]}}")  # type: ignore[misc]
    assert (http.http.path, http.http.status) == ("/health", (200, 204))  # type: ignore[has-type]


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


def test_a_codec_that_has_no_probe_can_not_be_checked_by_it() -> None:
    check = ", health_check: {kind: codec}"
    multiplexed = "{name: thrift, multiplexed: true}"
    (told,) = refused(mesh(protocol=multiplexed, cluster=check))
    assert told.endswith("kind: thrift has no probe, at least with these options; see its page, or write tcp")
    (told,) = refused(mesh(protocol="thrift", cluster=f"{check}, protocol: {multiplexed}"))
    assert "thrift has no probe" in told
    assert accepted(mesh(protocol="thrift", cluster=check))
    assert accepted(mesh(protocol="{name: thrift, transport: framed}", cluster=check))
    assert accepted(mesh(protocol="redis", cluster=check))


@pytest.mark.parametrize("listen", ["0.0.0.0:1", "[::]:1", "192.0.2.1:1"])
def test_a_proxy_header_that_is_believed_from_anyone_is_warned_of(listen: str) -> None:
    text = f"listeners: [{{name: l, listen: '{listen}', protocol: redis, proxy_protocol: true}}]"
    config, problems = check(text, "x.yaml", Registry())
    assert problems == []
    assert config is not None
    assert any("trusted" in warning.text for warning in config.warnings)


@pytest.mark.parametrize("written", ["{trusted: [10.0.0.0/8, unix]}", "{trusted: 10.0.0.0/8}", "false"])
def test_a_proxy_header_of_trusted_networks_is_not(written: str) -> None:
    text = f"listeners: [{{name: l, listen: '0.0.0.0:1', protocol: redis, proxy_protocol: {written}}}]"
    config, problems = check(text, "x.yaml", Registry())
    assert problems == []
    assert config is not None
    assert not any("trusted" in warning.text for warning in config.warnings)


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
