"""Plain data become sections as a text does, with the same checks, and errors that say where."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from checked import REGISTRY, accepted, mesh
from twisted.internet.task import Clock

from metaproxy.config import model
from metaproxy.config.schema.shape import Section
from metaproxy.config.values import Context, read_section
from metaproxy.units import Secret

LISTENER: Mapping[str, object] = {
    "name": "in", "listen": "127.0.0.1:7000", "protocol": "dubbo",
    "filters": [{"local_rate_limit": {"limit": 5}}],
    "routes": [{"name": "a", "match": {"interface": "Demo", "version": 1.10}, "cluster": "demo", "timeout": "2s"}],
}  # fmt: skip


def context(**more: Any) -> Context:
    return Context("istiod", REGISTRY, {"clock": Clock(), "node": model.Node()}, **more)


def lines(kind: type[Section], data: object, **more: Any) -> list[str]:
    section, problems = read_section(kind, data, context(**more))
    assert (section is None) == bool(problems)
    return [str(problem) for problem in problems]


def test_plain_data_become_the_section_that_a_file_with_them_has() -> None:
    text = mesh("[{cluster: demo, timeout: 2s, match: {interface: Demo}}]", listener=", max_frame: 1MiB")
    config, data = accepted(text), yaml.safe_load(text)
    listener, problems = read_section(model.Listener, data["listeners"][0], context())
    assert (listener, problems) == (config.listeners[0], [])
    cluster, problems = read_section(model.Cluster, data["clusters"][0], context())
    assert (cluster, problems) == (config.clusters[0], [])


def test_numbers_where_texts_belong_are_the_texts_that_a_file_would_have() -> None:
    listener, problems = read_section(model.Listener, LISTENER, context())
    assert problems == [] and listener is not None
    assert listener.routes[0].match == {"interface": "Demo", "version": "1.1"}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"routs": []}, "istiod: listeners['in'].routs: unknown key 'routs'; did you mean 'routes'?"),
        ({"routes": [{"cluster": 5}]}, "istiod: listeners['in'].routes[0].cluster: 5 is not a text"),
        ({"max_frame": "1B"}, "istiod: listeners['in'].max_frame: 1B is out of bounds"),
        ({"protocol": "dobbo"}, "istiod: listeners['in'].protocol: no codec 'dobbo'; did you mean 'dubbo'?"),
        ({"filters": [{"fault": {"dely": 1}}]}, "istiod: listeners['in'].filters[0].fault.dely: fault: no option"),
        ({"listen": {1: 2}}, "istiod: listeners['in'].listen: a mapping is not a text"),
    ],
    ids=["a key", "a value", "a bound", "a plugin", "a plugin's option", "a mapping"],
)
def test_what_is_wrong_has_a_path_with_the_name_of_the_section(change: Mapping[str, object], line: str) -> None:
    (found, *_) = lines(model.Listener, {**LISTENER, **change})
    assert found.startswith(line)


def test_rules_between_keys_of_a_section_hold_as_they_do_for_a_file() -> None:
    route = {"name": "a", "cluster": "demo"}
    assert lines(model.Listener, {**LISTENER, "routes": [route, route]}) == [
        "istiod: listeners['in'].routes[1].name: a route 'a' is there already, at routes[0].name"
    ]
    endpoints = ["127.0.0.1:1", {"address": "127.0.0.1:1"}]
    assert lines(model.Cluster, {"name": "demo", "endpoints": endpoints}) == [
        "istiod: clusters['demo'].endpoints[1].address: 127.0.0.1:1 is there already, at endpoints[0]"
    ]


def test_what_is_odd_and_works_is_a_warning_of_the_context() -> None:
    known = context()
    listener, problems = read_section(model.Listener, {**LISTENER, "routes": []}, known)
    assert listener is not None and problems == []
    (warning,) = known.warnings
    assert str(warning) == "istiod: listeners['in']: no routes; every request is answered with not_found"


def test_a_section_that_is_no_mapping_or_has_no_name_is_refused_with_what_it_is() -> None:
    (line,) = lines(model.Cluster, 5)
    assert line.startswith("istiod: clusters: 5 is not a mapping with name, endpoints, ")
    assert "istiod: clusters: name is missing" in lines(model.Cluster, {"endpoints": []})


def test_a_path_can_be_given() -> None:
    section, (problem,) = read_section(model.Route, {"cluster": 5}, context(), "resources[3].routes[1]")
    assert section is None
    assert problem.path == "resources[3].routes[1].cluster"


def test_values_that_no_configuration_can_have_are_refused() -> None:
    assert lines(model.Cluster, {"name": "x", "endpoints": {1}}) == [
        "istiod: clusters['x']: {1} is a set; write texts, numbers, flags, lists and mappings"
    ]
    (line,) = lines(model.Cluster, {"name": "x", "connect_timeout": float("nan")})
    assert line.startswith("istiod: clusters['x']: nan is a float")
    deep: object = "x"
    for _ in range(100):
        deep = [deep]
    assert lines(model.Cluster, {"name": "x", "endpoints": deep}) == [
        "istiod: clusters['x']: more than 64 levels of values within values"
    ]


def test_texts_are_taken_as_they_are_and_secrets_by_name() -> None:
    data = {"name": "x", "endpoints": ["127.0.0.1:1"], "credentials": {"user": "${HOME}", "password": {"secret": "p"}}}
    cluster, problems = read_section(model.Cluster, data, context(secrets={"p": Secret("hunter2")}))
    assert problems == [] and cluster is not None
    assert cluster.credentials == {"user": "${HOME}", "password": "hunter2"}
    assert lines(model.Cluster, data) == [
        "istiod: clusters['x'].credentials.password: no secret 'p'; no secret is defined"
    ]


def test_files_are_looked_for_from_the_folder_of_the_context(tmp_path: Path) -> None:
    tls = {"ca": "ca.pem"}
    (line,) = lines(model.Cluster, {"name": "x", "endpoints": ["127.0.0.1:1"], "tls": tls}, folder=tmp_path)
    assert f"istiod: clusters['x'].tls.ca: {tmp_path}/ca.pem" in line


def test_a_listener_can_wait_for_the_routes_of_a_server() -> None:
    known = context()
    routes = {"rds": {"name": "demo-routes", "server": "istiod"}}
    listener, problems = read_section(model.Listener, {**LISTENER, "routes": routes}, known)
    assert problems == [] and listener is not None
    assert listener.routes == model.Rds(name="demo-routes", server="istiod")
    assert list(listener.routes) == []
    assert not known.warnings
    others: list[object] = [{"rds": {}}, {"rdz": {"name": "x"}}, {}]
    for wrong in others:
        assert lines(model.Listener, {**LISTENER, "routes": wrong})
