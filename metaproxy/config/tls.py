"""
From the `tls:` sections of a configuration to what connections begin with.

Lives here: `server_tls`, `client_tls`, `admin_options`, `AdminContexts`. Does not: reading certificates
(`proxy.certificates`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from metaproxy.config import model
from metaproxy.proxy.certificates import CertificateError, Pair, client_context, server_context
from metaproxy.proxy.tls import ClientTls, ServerTls
from metaproxy.support.extras import install

if TYPE_CHECKING:  # pyOpenSSL is an extra
    from OpenSSL.SSL import Context

__all__ = ["AdminContexts", "CertificateError", "admin_options", "client_tls", "server_tls"]


def server_tls(spec: model.ServerTls, offered: Sequence[str] = ()) -> ServerTls:
    """offered: the codec's protocols, where the configuration names none. Raises CertificateError."""
    if spec.client_names and spec.client_ca is None:
        raise CertificateError("client_names", "client_ca is missing: who signs the certificates that have them")
    if spec.require_client_certificate and spec.client_ca is None:
        raise CertificateError("require_client_certificate", "client_ca is missing: who signs them")
    pairs = [
        Pair(spec.certificate, spec.key),
        *(Pair(one.certificate, one.key, one.names) for one in spec.certificates),
    ]
    context, not_after = server_context(
        pairs, spec.client_ca, spec.require_client_certificate, spec.min_version, spec.alpn or offered, spec.ciphers
    )
    start = "" if spec.start != "protocol" else "optional" if spec.optional else "required"
    return ServerTls(context, spec.handshake_timeout, not_after, _names(spec.client_names), start)


def client_tls(spec: model.ClientTls, patience: float, offered: Sequence[str] = ()) -> ClientTls:
    """patience: seconds for a handshake; offered: as for `server_tls`. Raises CertificateError."""
    if (spec.certificate is None) != (spec.key is None):
        given, missing = ("certificate", "key") if spec.key is None else ("key", "certificate")
        raise CertificateError(given, f"{missing} is missing")
    pair = None
    if spec.certificate is not None and spec.key is not None:
        pair = Pair(spec.certificate, spec.key)
    if spec.subject_alt_names and not spec.verify:
        raise CertificateError("subject_alt_names", "verify: false looks at no certificate; leave one of them out")
    names = _names(spec.subject_alt_names)
    check_name = spec.verify_name and not names
    context = client_context(
        spec.ca, pair, spec.verify, check_name, spec.min_version, spec.ciphers, spec.alpn or offered
    )
    start = "required" if spec.start == "protocol" else ""
    return ClientTls(context, spec.server_name, patience, names, spec.when, spec.unavailable, start)


def _names(written: Sequence[str]) -> list[str]:
    """DNS names are compared in lower case, URIs as they are."""
    return [name if "://" in name else name.lower() for name in written]


class Contexts(Protocol):
    """What gives a TLS context to each connection: `CertificateOptions` of Twisted."""

    def getContext(self) -> Context: ...


def admin_options(spec: model.AdminTls) -> Contexts:
    """What a Twisted endpoint is given. Raises CertificateError."""
    # Read again by the same rules as a listener's, whose errors say more than OpenSSL's.
    server_context([Pair(spec.certificate, spec.key)], spec.client_ca, spec.client_ca is not None)
    try:
        from twisted.internet.ssl import (
            Certificate,
            CertificateOptions,
            KeyPair,
            PrivateCertificate,
            trustRootFromCertificates,
        )
    except ImportError:
        raise CertificateError("certificate", f"TLS needs the extra `tls`: {install('tls')}") from None
    certificates = [Certificate.loadPEM(text) for text in _blocks(spec.certificate.read_bytes())]
    own = PrivateCertificate.fromCertificateAndKeyPair(certificates[0], KeyPair.load(spec.key.read_bytes(), _pem()))
    trust = None
    if spec.client_ca is not None:
        trust = trustRootFromCertificates([Certificate.loadPEM(text) for text in _blocks(spec.client_ca.read_bytes())])
    return CertificateOptions(
        privateKey=own.privateKey.original,
        certificate=own.original,
        extraCertChain=[one.original for one in certificates[1:]],
        trustRoot=trust,
    )


class AdminContexts:
    """
    What a Twisted endpoint asks at each connection; options: exchanged when files change.

    It has no interface of Twisted's on purpose: an endpoint keeps what those that have one made at its start.
    """

    def __init__(self, options: Contexts) -> None:
        self.options = options

    def getContext(self) -> Context:
        return self.options.getContext()


def _pem() -> int:
    from OpenSSL.crypto import FILETYPE_PEM

    return int(FILETYPE_PEM)


def _blocks(data: bytes) -> list[bytes]:
    """The certificates of a PEM file, one by one."""
    end = b"-----END CERTIFICATE-----"
    return [block + end + b"\n" for block in data.split(end)[:-1]]
