"""Control planes: what can be asked where, and whether what refers to one finds it."""

from __future__ import annotations

import pytest
from checked import accepted, mesh, refused

NODE = "node: {id: n1}\n"


def servers(*items: str, base: str = NODE) -> str:
    return f"{base}xds: [{', '.join(items)}]\n"


def rds(server: str = "") -> str:
    told = f", server: {server}" if server else ""
    return mesh(f"{{rds: {{name: demo-routes{told}}}}}")


@pytest.mark.parametrize(
    "text",
    [
        servers('{server: "127.0.0.1:15010"}'),
        servers("{server: unix:/run/xds.sock, transport: delta}"),
        servers("{server: http://127.0.0.1:8080, transport: rest, refresh: 5s}"),
        "xds: {server: resources, transport: file}\n",
        servers('{name: a, server: "127.0.0.1:1", tls: {server_name: istiod}, token: abc}'),
        mesh() + servers("{cluster: demo, ads: false, resources: [routes]}"),
        rds() + servers('{server: "127.0.0.1:1"}'),
        rds("b") + servers('{name: a, server: "127.0.0.1:1"}', '{name: b, server: "127.0.0.1:2"}'),
        rds() + servers('{name: a, server: "127.0.0.1:1"}', '{name: b, server: "127.0.0.1:2", ads: false}'),
    ],
)
def test_what_can_be_asked_is_accepted(text: str) -> None:
    assert accepted(text).xds


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (servers("{server: istiod}"), "xds[0].server: 'istiod' is not an address"),
        (servers('{server: "istiod:0"}'), "xds[0].server: 'istiod:0' has no port"),
        (servers('{server: "istiod:1", transport: rest}'), "xds[0].server: 'istiod:1' is not a URL"),
        (servers("{transport: grpc}"), "xds[0]: one of server, cluster is missing"),
        (servers('{server: "a:1", cluster: demo}') + mesh(), "server and cluster exclude each other"),
        (servers("{cluster: dem}") + mesh(), "xds[0].cluster: no cluster 'dem'; did you mean 'demo'?"),
        (servers("{cluster: demo, tls: {}}") + mesh(), "xds[0].tls: the cluster's own TLS is used"),
        (servers("{cluster: demo, transport: file}") + mesh(), "a cluster has no files; write server: PATH"),
        (servers("{server: unix:/x, tls: {}}"), "xds[0].tls: has no effect with unix:/x"),
        (servers("{server: folder, transport: file, token: abc}"), "xds[0].token: has no effect with files"),
        (servers('{server: "a:1", refresh: 1s}'), "xds[0].refresh: is for transport: rest"),
        (servers('{server: "a:1", resources: [rutes]}'), "did you mean 'routes'?"),
        (servers('{server: "a:1"}', '{server: "a:1", ads: false}'), "xds[1]: 'a:1' is the name of another server"),
        ('xds: {server: "a:1"}\n', "xds: nothing tells this proxy from others; write node: {id: NAME}"),
        (rds(), "routes.rds: no server to ask for routes; write xds: [{server: HOST:PORT}]"),
        (rds("istoid") + servers('{name: istiod, server: "a:1"}'), "no xds server 'istoid'; did you mean 'istiod'?"),
        (
            rds() + servers('{name: a, server: "a:1"}', '{name: b, server: "b:1"}'),
            "routes.rds: several servers have routes; write server: a or b",
        ),
        (
            "clusters: [{name: c, discovery: {eds: demo}}]\n",
            "clusters[0].discovery: no server to ask for endpoints",
        ),
        (
            servers('{name: a, server: "a:1"}') + "clusters: [{name: c, discovery: {eds: demo, server: b}}]\n",
            "clusters[0].discovery: no xds server 'b'; there is a",
        ),
    ],
)
def test_what_can_not_is_refused_with_what_to_write(text: str, problem: str) -> None:
    (found,) = refused(text)
    assert problem in found
