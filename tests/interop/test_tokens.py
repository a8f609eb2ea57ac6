"""
Signed tokens, as real Dubbo and Thrift clients send them.

Lives here: tokens of an issuer that is not ours (jwcrypto), who publishes its keys over HTTP; refusals, claims at the
server, keys that change. Does not: verification by itself (tests/unit/filters/test_jwt_tokens.py).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import catalogue
import pytest
import yaml
from catalogue import Clients, Start
from jwcrypto import jwk, jwt
from proxied import Proxy, cluster, listener
from running import ROOT, answers, free_port

peer = pytest.mark.peer


class Issuer:
    """Signs tokens, and publishes its keys on a port of its own."""

    def __init__(self) -> None:
        self.keys = [self._key("EC", crv="P-256"), self._key("RSA", size=2048)]
        self.asked = 0
        issuer = self

        class Page(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked += 1
                text = issuer.published().encode()
                self.send_response(200)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.url = f"http://127.0.0.1:{self.server.server_port}/jwks.json"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def _key(self, kind: str, **options: Any) -> Any:
        key = jwk.JWK.generate(kty=kind, **options)
        key["kid"] = key.thumbprint()
        return key

    def published(self) -> str:
        return json.dumps({"keys": [key.export_public(as_dict=True) for key in self.keys]})

    def token(self, key: Any = None, **claims: Any) -> str:
        key = key or self.keys[0]
        name = {"EC": "ES256", "RSA": "RS256"}[key["kty"]]
        held = {"iss": "https://issuer", "aud": "shop", "sub": "ann", "exp": int(time.time()) + 600, **claims}
        made = jwt.JWT(header={"alg": name, "kid": key["kid"]}, claims=held)
        made.make_signed_token(key)
        return str(made.serialize())


class Mesh(NamedTuple):
    """Ports of listeners by protocol: `guarded` ask for tokens, `open` don't."""

    proxy: Proxy
    issuer: Issuer
    guarded: dict[str, int]
    open: dict[str, int]


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    yield issuer
    issuer.server.shutdown()
    issuer.server.server_close()


@pytest.fixture(scope="module")
def mesh(start: Start, shared_proxy: Callable[..., Proxy], issuer: Issuer) -> Mesh:
    ports = {name: free_port() for name in ("dubbo", "thrift")}
    start(catalogue.dubbo_server("npm", "alpha", ports["dubbo"]))
    start(catalogue.thrift_server("py", "alpha", f"{ports['thrift']}:header:binary"), lambda: answers(ports["thrift"]))
    provider = {
        "issuer": "https://issuer",
        "audiences": ["shop"],
        "algorithms": ["ES256", "RS256"],
        "jwks": {"url": issuer.url},
        "claims_to_metadata": {"sub": "user"},
    }
    deny_bob = {"no-bob": {"action": "deny", "principals": [{"user": "bob"}]}}
    filters = [{"jwt": {"providers": {"main": provider}}}, {"rbac": {"policies": deny_bob}}]
    found: dict[str, dict[str, int]] = {}
    listeners = []
    for name, used in (("guarded", filters), ("open", [])):
        found[name] = {protocol: free_port() for protocol in ports}
        for protocol, port in found[name].items():
            listeners.append(listener(f"{name}-{protocol}", port, protocol, [{"cluster": protocol}], filters=used))
    config = {"listeners": listeners, "clusters": [cluster(name, port) for name, port in ports.items()]}
    return Mesh(shared_proxy(config), issuer, **found)


def attachments(clients: Clients, name: str, port: int, token: str = "", **more: str) -> dict[str, Any]:
    """The result of a call that asks the provider which attachments it got."""
    sent = {**({"authorization": f"Bearer {token}"} if token else {}), **more}
    call = {"method": "attachments", "attachments": sent}
    (result,) = clients(catalogue.dubbo_client(name)).run(port=port, calls=[call])
    return result


DUBBO = [pytest.param(name, marks=peer(name, "npm")) for name in ("java", "npm", "dubbo-py", "dubbo-ssl-python")]


@pytest.mark.parametrize("name", DUBBO)
def test_a_dubbo_call_with_a_good_token_passes_and_tells_the_provider_who_calls(
    name: str, clients: Clients, mesh: Mesh
) -> None:
    for key in mesh.issuer.keys:
        seen = attachments(clients, name, mesh.guarded["dubbo"], mesh.issuer.token(key), user="mallory", kept="k")
        assert (seen["value"]["user"], seen["value"]["kept"]) == ("ann", "k")
        assert "authorization" not in seen["value"]


@pytest.mark.parametrize("name", DUBBO)
def test_a_dubbo_call_without_a_good_token_is_refused_with_the_reason(name: str, clients: Clients, mesh: Mesh) -> None:
    stranger = Issuer()
    stranger.keys[0]["kid"] = mesh.issuer.keys[0]["kid"]
    bad = {
        "no token in authorization": "",
        "the token has expired": mesh.issuer.token(exp=1000),
        "the token is not for shop": mesh.issuer.token(aud="bank"),
        "the token's signature is wrong": stranger.token(),
    }
    for told, token in bad.items():
        error = attachments(clients, name, mesh.guarded["dubbo"], token)["error"]["message"]
        assert f"jwt: {told}" in error
        assert not token or token[-20:] not in error
    assert "value" in attachments(clients, name, mesh.open["dubbo"])


@peer("java", "npm")
def test_policies_decide_by_the_claim_and_not_by_what_the_client_says(clients: Clients, mesh: Mesh) -> None:
    refused = attachments(clients, "java", mesh.guarded["dubbo"], mesh.issuer.token(sub="bob"), user="ann")
    assert "rbac: access denied" in refused["error"]["message"]
    passed = attachments(clients, "java", mesh.guarded["dubbo"], mesh.issuer.token(), user="bob")
    assert passed["value"]["user"] == "ann"


@pytest.mark.parametrize("name", [pytest.param(each, marks=peer(each, "py")) for each in ("py", "js")])
def test_a_thrift_call_has_its_token_in_a_header(name: str, clients: Clients, mesh: Mesh) -> None:
    jobs = clients(catalogue.thrift_client(name))
    way = {"transport": "header", "protocol": "binary", "mux": False}
    good = {"method": "headers", "headers": {"authorization": mesh.issuer.token(), "user": "mallory"}}
    (seen,) = jobs.run(port=mesh.guarded["thrift"], calls=[good], **way)
    assert (seen["value"].get("user"), "authorization" in seen["value"]) == ("ann", False)
    bad = {"method": "headers", "headers": {"authorization": "x.y.z"}}
    (refused,) = jobs.run(port=mesh.guarded["thrift"], calls=[bad], **way)
    assert "jwt: not a JSON Web Token" in refused["error"]["message"]
    (passed,) = jobs.run(port=mesh.open["thrift"], calls=[bad], **way)
    assert passed["value"]["authorization"] == "x.y.z"


@peer("npm")
def test_a_new_key_is_found_when_a_token_names_it(
    clients: Clients, start_here: Start, proxy: Callable[..., Proxy]
) -> None:
    issuer, server, port = Issuer(), free_port(), free_port()
    start_here(catalogue.dubbo_server("npm", "alpha", server))
    provider = {"algorithms": ["ES256", "RS256"], "jwks": {"url": issuer.url}, "issuer": "https://issuer"}
    filters = [{"jwt": {"providers": {"main": provider}}}]
    config = {
        "listeners": [listener("in", port, "dubbo", [{"cluster": "npm"}], filters=filters)],
        "clusters": [cluster("npm", server)],
    }
    between = proxy(config)
    old, new = issuer.keys
    issuer.keys = [old]
    assert "value" in attachments(clients, "npm", port, issuer.token(old))
    issuer.keys = [new]
    told = attachments(clients, "npm", port, issuer.token(new))  # less than 5 s after the last fetch
    assert "no key for the token's kid" in told["error"]["message"]
    time.sleep(5)
    assert "value" in attachments(clients, "npm", port, issuer.token(new))
    assert "no key for" in attachments(clients, "npm", port, issuer.token(old))["error"]["message"]
    assert issuer.asked == 2
    events = {name: value for name, value in between.stats().items() if "filter_events" in name}
    assert any("jwks_fetch_success" in name and value == 2 for name, value in events.items()), events


@peer("npm")
def test_conf_jwt_works_with_the_token_that_it_tells_how_to_make(
    clients: Clients, start_here: Start, proxy: Callable[..., Proxy]
) -> None:
    import jwt as pyjwt

    text = (ROOT / "conf" / "jwt.yaml").read_text()
    server, port = free_port(), free_port()
    text = text.replace("127.0.0.1:20880", f"127.0.0.1:{port}").replace("127.0.0.1:20881", f"127.0.0.1:{server}")
    start_here(catalogue.dubbo_server("npm", "alpha", server))
    between = proxy(yaml.safe_load(text))
    secret = "demo-secret-of-32-bytes-or-more!"
    assert secret in text
    token = pyjwt.encode({"iss": "demo", "sub": "ann", "role": "admin"}, secret)
    seen = attachments(clients, "npm", port, token)
    assert (seen["value"]["user"], seen["value"]["role"]) == ("ann", "admin")
    assert "no token" in attachments(clients, "npm", port)["error"]["message"]
    for path in ("/config_dump", "/stats", "/listeners", "/plugins"):
        assert secret not in between.ask(path)[1]
    assert secret not in between.log() and token not in between.log()
    assert Path(between.directory).exists()
