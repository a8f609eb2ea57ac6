"""`tls:` in a configuration: what is wrong with its files is reported with its place; changes of files take effect."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from authority import Authority
from present import present
from stand import Stand

from metaproxy.app.application import LOOK_EVERY
from metaproxy.app.parts import Part
from metaproxy.config import model
from metaproxy.config.build import Builder
from metaproxy.config.tls import AdminContexts, CertificateError, admin_options, client_tls, server_tls
from metaproxy.config.values import read_section
from metaproxy.units import Seconds

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority(tmp_path, "ca")
    made.issue("proxy", "proxy", "127.0.0.1", file="proxy")
    return made


def config(listener: dict[str, Any] | None = None, cluster: dict[str, Any] | None = None, **more: Any) -> str:
    front: dict[str, Any] = {"name": "front", "listen": "127.0.0.1:7000", "protocol": "quill"}
    one: dict[str, Any] = {"name": "one", "endpoints": ["127.0.0.1:1"]}
    if listener is not None:
        front["tls"] = {"certificate": "proxy.pem", "key": "proxy.key", **listener}
    if cluster is not None:
        one["tls"] = cluster
    return json.dumps(
        {
            "plugins": [str(EXAMPLES)],
            "listeners": [{**front, "routes": [{"cluster": "one"}]}],
            "clusters": [one],
            **more,
        }
    )


def test_both_sides_get_their_contexts(authority: Authority, tmp_path: Path) -> None:
    stand = Stand(tmp_path, config({"client_ca": "ca.pem"}, {"ca": "ca.pem", "server_name": "other"}))
    assert stand.errors == []
    assert stand.snapshot.listeners["front"].tls.context is not None
    assert stand.snapshot.clusters["one"].connections.tls.server_name == "other"


@pytest.mark.parametrize(
    ("listener", "cluster", "place", "text"),
    [
        ({"key": "nothing.key"}, None, "listeners[0].tls.key", "No such file"),
        ({"require_client_certificate": True}, None, "tls.require_client_certificate", "client_ca is missing"),
        ({"min_version": "1.1"}, None, "tls.min_version", "1.1"),
        (None, {"ca": "proxy.key"}, "clusters[0].tls.ca", "no certificates in PEM"),
        (None, {"certificate": "proxy.pem"}, "clusters[0].tls.certificate", "key is missing"),
        (None, {"subject_alt_names": ["a"], "verify": False}, "tls.subject_alt_names", "looks at no certificate"),
        (None, {"subject_alt_names": []}, "clusters[0].tls.subject_alt_names", "write at least 1"),
        (None, {"serve_name": "x"}, "clusters[0].tls", "did you mean 'server_name'"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(
    authority: Authority, tmp_path: Path, listener: Any, cluster: Any, place: str, text: str
) -> None:
    errors = "\n".join(Stand(tmp_path, config(listener, cluster)).errors)
    assert place in errors and text in errors


def test_alternative_names_take_the_place_of_the_host_name(authority: Authority, tmp_path: Path) -> None:
    names = ["spiffe://Mesh/App", "API.example.org"]
    stand = Stand(tmp_path, config(None, {"ca": "ca.pem", "subject_alt_names": names, "alpn": ["h2"]}))
    assert stand.errors == []
    tls = stand.snapshot.clusters["one"].connections.tls
    assert tls.names == {"spiffe://Mesh/App", "api.example.org"}
    assert tls.context.check_hostname is False and tls.context.verify_mode.name == "CERT_REQUIRED"


def test_an_expired_certificate_is_a_warning(authority: Authority, tmp_path: Path) -> None:
    authority.issue("proxy", "proxy", file="old", days=-1)
    old = {"certificate": "old.pem", "key": "old.key"}
    for listener, cluster, place in (
        (old, None, "listeners[0].tls.certificate"),
        ({"certificates": [old]}, None, "listeners[0].tls.certificates[0].certificate"),
        (None, old, "clusters[0].tls.certificate"),
    ):
        stand = Stand(tmp_path, config(listener, cluster))
        assert stand.errors == []
        (warning,) = map(str, stand.configuration.config.warnings)
        assert "old.pem: the certificate has expired" in warning and place in warning


def test_servers_that_are_not_verified_are_a_warning(authority: Authority, tmp_path: Path) -> None:
    stand = Stand(tmp_path, config(None, {"verify": False}))
    assert any("not verified" in str(warning) for warning in stand.configuration.config.warnings)


def test_new_files_are_taken_for_new_connections_and_clusters_stay_what_they_are(
    authority: Authority, tmp_path: Path
) -> None:
    stand = Stand(tmp_path, config({}, {"ca": "ca.pem"}))
    stand.configuration.startService()
    before, cluster = stand.snapshot.listeners["front"].tls.context, stand.snapshot.clusters["one"]
    theirs = cluster.connections.tls.context
    authority.issue("proxy", "proxy", file="proxy")
    stand.network.clock.advance(LOOK_EVERY)
    assert stand.snapshot.listeners["front"].tls.context is not before
    assert stand.snapshot.clusters["one"] is cluster and cluster.connections.tls.context is not theirs
    version = stand.snapshot.version
    stand.network.clock.advance(LOOK_EVERY)
    assert stand.snapshot.version == version
    stand.configuration.stopService()


def test_a_pair_that_is_half_written_is_refused_and_taken_when_it_is_whole(
    authority: Authority, tmp_path: Path
) -> None:
    stand = Stand(tmp_path, config({}))
    stand.configuration.startService()
    before = stand.snapshot
    new = authority.issue("proxy", "proxy", file="new")
    shutil.copy(new.certificate, tmp_path / "proxy.pem")
    stand.network.clock.advance(LOOK_EVERY)
    assert stand.snapshot is before
    assert stand.configuration.refused is not None
    assert "is not the key of" in stand.configuration.refused["errors"][0]
    shutil.copy(new.key, tmp_path / "proxy.key")
    stand.network.clock.advance(LOOK_EVERY)
    assert stand.snapshot.version == 2 and stand.configuration.refused is None
    stand.configuration.stopService()


def test_a_secret_whose_file_changes_is_taken(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("first\n")
    one = {"name": "one", "endpoints": ["127.0.0.1:1"], "credentials": {"password": {"secret": "p"}}}
    text = config(secrets={"p": {"file": "password"}}, clusters=[one])
    stand = Stand(tmp_path, text)
    assert stand.errors == []
    stand.configuration.startService()
    assert stand.snapshot.clusters["one"].credentials == {"password": "first"}
    (tmp_path / "password").write_text("second\n")
    stand.network.clock.advance(LOOK_EVERY)
    assert stand.snapshot.clusters["one"].credentials == {"password": "second"}
    assert "second" not in json.dumps(stand.configuration.dump())
    stand.configuration.stopService()


def test_an_admin_api_that_others_reach_by_tls_is_allowed_and_its_files_are_checked(
    authority: Authority, tmp_path: Path
) -> None:
    admin: dict[str, Any] = {"listen": "0.0.0.0:9901", "tls": {"certificate": "proxy.pem", "key": "proxy.key"}}
    stand = Stand(tmp_path, config(admin=admin))
    assert stand.errors == []
    assert any("may ask everything" in str(warning) for warning in stand.configuration.config.warnings)
    admin["tls"]["client_ca"] = "ca.pem"
    assert Stand(tmp_path, config(admin=admin)).configuration.config.warnings == ()
    admin["tls"]["key"] = "ca.pem"
    assert "admin.tls.key" in Stand(tmp_path, config(admin=admin)).errors[0]


def test_each_section_makes_what_connections_begin_with(authority: Authority, tmp_path: Path) -> None:
    pair: Any = {"certificate": tmp_path / "proxy.pem", "key": tmp_path / "proxy.key"}
    assert server_tls(model.ServerTls(**pair, handshake_timeout=Seconds(3.0))).patience == 3.0
    assert client_tls(model.ClientTls(ca=authority.ca), 2.0).patience == 2.0
    assert admin_options(model.AdminTls(**pair, client_ca=authority.ca)).getContext() is not None
    with pytest.raises(CertificateError, match="certificate is missing"):
        client_tls(model.ClientTls(key=tmp_path / "proxy.key"), 1.0)


def test_the_admin_apis_files_are_read_again_and_what_does_not_fit_changes_nothing(
    authority: Authority, tmp_path: Path
) -> None:
    admin = {"tls": {"certificate": "proxy.pem", "key": "proxy.key"}}
    stand = Stand(tmp_path, config(admin=admin))
    spec = stand.configuration.config.admin.tls
    assert spec is not None
    contexts = stand.configuration.admin_tls = AdminContexts(admin_options(spec))
    stand.configuration.startService()
    before, context = contexts.options, contexts.getContext()
    new = authority.issue("proxy", "proxy", file="new")
    shutil.copy(new.certificate, tmp_path / "proxy.pem")
    stand.network.clock.advance(LOOK_EVERY)
    assert contexts.options is before and stand.configuration.reloads["refused"] == 1
    shutil.copy(new.key, tmp_path / "proxy.key")
    stand.network.clock.advance(LOOK_EVERY)
    assert contexts.options is not before and contexts.getContext() is not context
    stand.configuration.stopService()


def test_tls_over_a_unix_socket_is_refused(authority: Authority, tmp_path: Path) -> None:
    admin = {"listen": "unix:/tmp/admin", "tls": {"certificate": "proxy.pem", "key": "proxy.key"}}
    assert "not over a Unix socket" in Stand(tmp_path, config(admin=admin)).errors[0]


def test_a_file_that_changes_while_it_is_read_is_read_again(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand = Stand(tmp_path, config({}))
    stand.configuration.startService()
    build = Builder.build

    def slow(builder: Builder, *given: Any) -> Any:
        made = build(builder, *given)
        authority.issue("proxy", "proxy", file="proxy")
        monkeypatch.undo()
        return made

    monkeypatch.setattr(Builder, "build", slow)
    authority.issue("proxy", "proxy", file="proxy")
    stand.network.clock.advance(LOOK_EVERY)
    assert stand.snapshot.version == 2
    stand.network.clock.advance(LOOK_EVERY)
    assert stand.snapshot.version == 3
    stand.configuration.stopService()


def test_a_configuration_that_was_refused_for_its_certificates_comes_with_them(
    authority: Authority, tmp_path: Path
) -> None:
    stand = Stand(tmp_path, config({}))
    stand.configuration.startService()
    new = authority.issue("proxy", "proxy", file="new")
    shutil.copy(new.certificate, tmp_path / "proxy.pem")
    Path(stand.configuration.file).write_text(config({"min_version": "1.3"}))
    stand.network.clock.advance(LOOK_EVERY)
    assert stand.configuration.refused is not None
    shutil.copy(new.key, tmp_path / "proxy.key")
    stand.network.clock.advance(LOOK_EVERY)
    assert stand.configuration.refused is None
    assert stand.configuration.config.listeners[0].tls.min_version == "1.3"
    stand.configuration.stopService()


def test_certificates_of_what_a_source_contributes_are_read_again_and_nothing_else_is_built(
    authority: Authority, tmp_path: Path
) -> None:
    authority.issue("other", "other", file="other")
    stand = Stand(tmp_path, config())
    stand.configuration.startService()
    known = stand.configuration.reading("mesh")

    def listener(name: str, port: int) -> model.Listener:
        tls = {"certificate": f"{name}.pem", "key": f"{name}.key"}
        data = {"name": name, "listen": f"127.0.0.1:{port}", "protocol": "quill", "routes": [{"cluster": "one"}]}
        section, problems = read_section(model.Listener, {**data, "tls": tls}, known)
        assert problems == []
        return present(section)

    part = Part((listener("proxy", 7001), listener("other", 7002)))
    assert stand.configuration.contribute("mesh", part) == []
    before = stand.snapshot.listeners
    assert stand.configuration.contribute("mesh", Part(part.listeners)) == []
    assert stand.snapshot.listeners["proxy"] is before["proxy"], "its files are the same"
    authority.issue("proxy", "proxy", file="proxy")
    stand.network.clock.advance(LOOK_EVERY)
    while stand.configuration.slices.busy:
        stand.network.clock.advance(0)
    after = stand.snapshot.listeners
    assert after["proxy"].tls is not before["proxy"].tls
    assert after["other"] is before["other"]
    stand.configuration.stopService()
