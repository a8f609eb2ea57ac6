"""TLS as transport sockets, and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from authority import Authority
from checked import accepted
from envoy_round_trip import refused_by, round_trip, written


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority(tmp_path, "ca")
    made.issue("proxy", "proxy", "127.0.0.1", file="proxy")
    return made


def config(authority: Authority, listener: dict[str, Any] | None, cluster: dict[str, Any] | None) -> str:
    def whole(tls: dict[str, Any]) -> dict[str, Any]:
        return {key: str(authority.folder / value) if key in FILES else value for key, value in tls.items()}

    front: dict[str, Any] = {"name": "l", "listen": "127.0.0.1:80", "protocol": "dubbo", "routes": [{"cluster": "a"}]}
    one: dict[str, Any] = {"name": "a", "endpoints": ["127.0.0.1:1"]}
    if listener is not None:
        front["tls"] = whole({**PAIR, **listener})
    if cluster is not None:
        one["tls"] = whole(cluster)
    return json.dumps({"listeners": [front], "clusters": [one]})


FILES = ("certificate", "key", "client_ca", "ca")
PAIR = {"certificate": "proxy.pem", "key": "proxy.key"}


@pytest.mark.parametrize(
    "tls",
    [
        {},
        {"client_ca": "ca.pem", "require_client_certificate": True},
        {"min_version": "1.3", "alpn": ["a", "b"], "handshake_timeout": "5s"},
        {"ciphers": "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305"},
    ],
)
def test_tls_of_a_listener_comes_back_as_it_was(authority: Authority, tls: dict[str, Any]) -> None:
    text = config(authority, tls, None)
    assert round_trip(text).listeners == accepted(text).listeners


@pytest.mark.parametrize(
    "tls",
    [
        {},
        {"ca": "ca.pem", "server_name": "a.b"},
        {"ca": "ca.pem", "subject_alt_names": ["spiffe://a/b", "c.d"]},
        {"verify": False, **PAIR},
        {"min_version": "1.3", "alpn": ["a"]},
    ],
)
def test_tls_of_a_cluster_comes_back_as_it_was(authority: Authority, tls: dict[str, Any]) -> None:
    text = config(authority, None, tls)
    assert round_trip(text).clusters == accepted(text).clusters


def test_a_server_must_have_the_name_that_it_is_asked_for(authority: Authority) -> None:
    (cluster,) = written(config(authority, None, {"server_name": "a.b"}))["static_resources"]["clusters"]
    context = cluster["transport_socket"]["typed_config"]
    assert (context["sni"], context["auto_sni_san_validation"]) == ("a.b", True)


def test_http_agrees_on_its_versions(authority: Authority) -> None:
    text = config(authority, {}, None).replace('"dubbo"', '"http"')
    (listener,) = written(text)["static_resources"]["listeners"]
    context = listener["filter_chains"][0]["transport_socket"]["typed_config"]
    assert context["common_tls_context"]["alpn_protocols"] == ["h2", "http/1.1"]


def test_tls_for_some_endpoints_alone_is_named(authority: Authority) -> None:
    (line,) = refused_by(config(authority, None, {"when": {"tlsMode": "istio"}}))
    assert "tls.when" in line
