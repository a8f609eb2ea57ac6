"""
Where an API server is, and what proves who asks: from a kubeconfig, or from what a pod is given.

Lives here: `Credentials`, `from_kubeconfig`, `in_cluster`. Does not: using them (`tls`, `api`).

What runs another program for a token (`exec`, `auth-provider`) is refused: the proxy starts no programs.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import yaml

from metaproxy.clients.http import check_url
from metaproxy.kubernetes.resources import Object, items, mapping, text
from metaproxy.support.nearest_name import did_you_mean

POD = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""What a pod is given of its service account: `token`, `ca.crt`, `namespace`."""

_MOST = 1 << 20
"""Bytes that a kubeconfig, a certificate or a token may have."""

_USER = ("client-certificate", "client-certificate-data", "client-key", "client-key-data", "token", "tokenFile")
_CLUSTER = ("server", "certificate-authority", "certificate-authority-data", "insecure-skip-tls-verify",
            "tls-server-name", "disable-compression", "extensions")  # fmt: skip
_PROGRAMS = ("exec", "auth-provider")


class CredentialsError(ValueError):
    """There is no way to the API server. The text says where that is written, and what to write."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """
    server: a URL. ca: certificates in PEM that the server's must come from, b"" for the system's; insecure: whether
    any will do. server_name: what the server's certificate must name, "" for the host of the URL. certificate, key: the
    client's, in PEM. token, or the file that holds it, which is read for each request. namespace: the default one.
    """

    server: str
    ca: bytes = b""
    insecure: bool = False
    server_name: str = ""
    certificate: bytes = b""
    key: bytes = b""
    token: str = ""
    token_file: Path | None = None
    namespace: str = "default"

    def bearer(self) -> str:
        """Return the token as it is now; "" when there is none. Raises CredentialsError."""
        if self.token_file is None:
            return self.token
        return _read(self.token_file).decode("utf-8", "replace").strip()

    def __repr__(self) -> str:
        return f"Credentials({self.server!r})"


Source = Callable[[], Credentials]
"""Reads credentials as they are now. Raises CredentialsError."""


def in_cluster(folder: Path = POD, environ: Mapping[str, str] = os.environ) -> Credentials:
    """Return what a pod is given. Raises CredentialsError outside of one."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "")
    if not host or not port or not (folder / "token").exists():
        raise CredentialsError("this is no pod of a cluster; write `kubeconfig:` with the path of a file")
    namespace = folder / "namespace"
    return Credentials(
        f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        ca=_read(folder / "ca.crt"),
        token_file=folder / "token",
        namespace=_read(namespace).decode().strip() if namespace.exists() else "default",
    )


def from_kubeconfig(file: Path, context: str = "") -> Credentials:
    """Return what a kubeconfig says of a context, `current-context` by default. Raises CredentialsError."""
    try:
        root = yaml.safe_load(_read(file))
    except (yaml.YAMLError, RecursionError, UnicodeDecodeError) as error:
        raise CredentialsError(f"{file}: no YAML: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(root, dict):
        raise CredentialsError(f"{file}: no kubeconfig")
    name = context or text(root.get("current-context"))
    if not name:
        raise CredentialsError(f"{file}: no current-context; write `context:` with one of {_listed(root, 'contexts')}")
    chosen = _named(file, root, "context", name)
    cluster_name, user_name = text(chosen.get("cluster")), text(chosen.get("user"))
    cluster = _named(file, root, "cluster", cluster_name)
    user = _named(file, root, "user", user_name) if user_name else {}
    return _Reader(file, cluster_name, user_name).read(cluster, user, text(chosen.get("namespace")) or "default")


def source(kubeconfig: str = "", context: str = "") -> Source:
    """Return what reads credentials: of a kubeconfig, or of the pod when there is none."""
    return (lambda: from_kubeconfig(Path(kubeconfig), context)) if kubeconfig else in_cluster


def _named(file: Path, root: Object, kind: str, name: str) -> Object:
    """Return the entry of that name of the list of a kind."""
    for entry in items(root.get(f"{kind}s")):
        if isinstance(entry, dict) and entry.get("name") == name:
            return mapping(entry.get(kind))
    raise CredentialsError(f"{file}: no {kind} {name!r}; it has: {_listed(root, f'{kind}s')}")


def _listed(root: Object, kinds: str) -> str:
    names = [text(mapping(entry).get("name")) for entry in items(root.get(kinds))]
    return ", ".join(names[:20]) or "none"


class _Reader:
    """Reads a cluster and a user of a kubeconfig. Relative paths start from the folder of the file."""

    def __init__(self, file: Path, cluster: str, user: str) -> None:
        self._file = file
        self._cluster = f"clusters[{cluster}]"
        self._user = f"users[{user}]"

    def read(self, cluster: Object, user: Object, namespace: str) -> Credentials:
        for key in _PROGRAMS:
            if key in user:
                self._wrong(f"{self._user}.{key}", "the proxy starts no programs; use a token, a tokenFile or a "
                            "client certificate, such as those of a service account")  # fmt: skip
        self._known(self._user, user, _USER)
        self._known(self._cluster, cluster, _CLUSTER)
        try:
            server = check_url(text(cluster.get("server")).rstrip("/"))
        except ValueError as error:
            self._wrong(f"{self._cluster}.server", str(error))
        certificate = self._data(self._user, user, "client-certificate")
        private = self._data(self._user, user, "client-key")
        if bool(certificate) != bool(private):
            self._wrong(self._user, "client-certificate and client-key go together")
        token_file = text(user.get("tokenFile"))
        return Credentials(
            server,
            ca=self._data(self._cluster, cluster, "certificate-authority"),
            insecure=cluster.get("insecure-skip-tls-verify") is True,
            server_name=text(cluster.get("tls-server-name")),
            certificate=certificate,
            key=private,
            token="" if token_file else text(user.get("token")),
            token_file=self._path(token_file) if token_file else None,
            namespace=namespace,
        )

    def _known(self, place: str, section: Object, keys: tuple[str, ...]) -> None:
        for key in section:
            if key not in keys:
                hint = did_you_mean(str(key), keys, f"known are {', '.join(keys)}")
                self._wrong(f"{place}.{key}", f"cannot be honoured; {hint}")

    def _data(self, place: str, section: Object, key: str) -> bytes:
        """Return what stands in a key in base64, or in the file that it names; the former wins."""
        written = text(section.get(f"{key}-data"))
        if written:
            try:
                return base64.b64decode(written, validate=True)
            except (binascii.Error, ValueError):
                self._wrong(f"{place}.{key}-data", "is not base64")
        path = text(section.get(key))
        return _read(self._path(path)) if path else b""

    def _path(self, written: str) -> Path:
        return self._file.parent / written

    def _wrong(self, place: str, why: str) -> NoReturn:
        raise CredentialsError(f"{self._file}: {place}: {why}")


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            content = opened.read(_MOST + 1)
    except OSError as error:
        raise CredentialsError(f"{file}: {error.strerror}") from error
    if len(content) > _MOST:
        raise CredentialsError(f"{file}: more than {_MOST} bytes")
    return content
