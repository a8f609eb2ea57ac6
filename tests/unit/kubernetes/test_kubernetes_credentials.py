"""What a kubeconfig and a pod say of the way to the API server, and what is refused."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from metaproxy.kubernetes.credentials import CredentialsError, from_kubeconfig, in_cluster, source


def kubeconfig(folder: Path, user: dict[str, Any], cluster: dict[str, Any] | None = None, **more: Any) -> Path:
    file = folder / "kubeconfig"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:6443/", **(cluster or {})}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "shop"}}],
        "current-context": "x",
        **more,
    }
    file.write_text(yaml.safe_dump(content))
    return file


def test_a_token_and_the_namespace_of_the_context_are_taken(tmp_path: Path) -> None:
    found = from_kubeconfig(kubeconfig(tmp_path, {"token": "t0ken"}))
    assert (found.server, found.bearer(), found.namespace) == ("https://127.0.0.1:6443", "t0ken", "shop")


def test_certificates_may_stand_in_the_file_or_beside_it(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(b"CA")
    (tmp_path / "key.pem").write_bytes(b"KEY")
    user = {"client-certificate-data": base64.b64encode(b"CERT").decode(), "client-key": "key.pem"}
    found = from_kubeconfig(kubeconfig(tmp_path, user, {"certificate-authority": "ca.pem", "tls-server-name": "api"}))
    assert (found.ca, found.certificate, found.key, found.server_name) == (b"CA", b"CERT", b"KEY", "api")


def test_a_token_file_is_read_each_time(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("one\n")
    found = from_kubeconfig(kubeconfig(tmp_path, {"tokenFile": "token"}))
    assert found.bearer() == "one"
    (tmp_path / "token").write_text("two\n")
    assert found.bearer() == "two"
    (tmp_path / "token").unlink()
    with pytest.raises(CredentialsError, match="token: No such file"):
        found.bearer()


def test_another_context_may_be_named(tmp_path: Path) -> None:
    more: dict[str, Any] = {
        "contexts": [{"name": "y", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "",
    }
    file = kubeconfig(tmp_path, {"token": "t"}, None, **more)
    assert from_kubeconfig(file, "y").namespace == "default"
    with pytest.raises(CredentialsError, match="write `context:` with one of y"):
        from_kubeconfig(file)
    with pytest.raises(CredentialsError, match="no context 'z'; it has: y"):
        from_kubeconfig(file, "z")


def test_what_would_start_a_program_is_refused_with_what_to_use(tmp_path: Path) -> None:
    for key in ("exec", "auth-provider"):
        file = kubeconfig(tmp_path, {key: {"command": "aws"}})
        with pytest.raises(CredentialsError, match=rf"users\[u\]\.{key}: the proxy starts no programs; use a token"):
            from_kubeconfig(file)


def test_what_is_not_known_is_refused_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match=r"users\[u\].tokenfile: cannot be honoured; did you mean 'tokenFile'"):
        from_kubeconfig(kubeconfig(tmp_path, {"tokenfile": "x"}))
    with pytest.raises(CredentialsError, match=r"clusters\[c\].proxy-url: cannot be honoured"):
        from_kubeconfig(kubeconfig(tmp_path, {"token": "x"}, {"proxy-url": "http://127.0.0.1"}))


@pytest.mark.parametrize(
    ("user", "cluster", "text"),
    [
        ({"client-certificate-data": "Q0E="}, {}, "go together"),
        ({"token": "t"}, {"certificate-authority-data": "%%"}, "certificate-authority-data: is not base64"),
        ({"token": "t"}, {"certificate-authority": "none.pem"}, "none.pem: No such file"),
        ({"token": "t"}, {"server": "api:6443"}, r"clusters\[c\].server: .* is not a URL"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    tmp_path: Path, user: dict[str, Any], cluster: dict[str, Any], text: str
) -> None:
    with pytest.raises(CredentialsError, match=text):
        from_kubeconfig(kubeconfig(tmp_path, user, cluster))


@pytest.mark.parametrize("text", ["[", "- a", "", "\x00"])
def test_a_file_that_is_no_kubeconfig_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "k"
    file.write_text(text)
    with pytest.raises(CredentialsError, match=str(file)):
        from_kubeconfig(file)


def test_a_pod_has_what_it_was_given(tmp_path: Path) -> None:
    for name, text in {"token": "t1", "ca.crt": "CA", "namespace": "mesh"}.items():
        (tmp_path / name).write_text(text)
    environ = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    found = in_cluster(tmp_path, environ)
    assert (found.server, found.ca, found.bearer(), found.namespace) == ("https://10.96.0.1:443", b"CA", "t1", "mesh")
    (tmp_path / "token").write_text("t2")
    assert found.bearer() == "t2"
    assert in_cluster(tmp_path, {**environ, "KUBERNETES_SERVICE_HOST": "fd00::1"}).server == "https://[fd00::1]:443"


def test_outside_of_a_pod_a_kubeconfig_is_needed(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="write `kubeconfig:`"):
        in_cluster(tmp_path, {})


def test_what_is_named_is_read_when_it_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    read = source(str(file))
    with pytest.raises(CredentialsError, match="No such file"):
        read()
    kubeconfig(tmp_path, {"token": "later"})
    assert read().bearer() == "later"


def test_credentials_are_not_shown(tmp_path: Path) -> None:
    assert "t0ken" not in repr(from_kubeconfig(kubeconfig(tmp_path, {"token": "t0ken"})))
