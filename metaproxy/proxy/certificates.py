"""
From files with certificates and keys to TLS contexts.

Lives here: `server_context`, `client_context`, what a certificate names and when it ends. Does not: connections
(`tls`); when files are read again (`app.application`). Needs the extra `tls`.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from metaproxy.support.extras import install

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class CertificateError(ValueError):
    """option: the key of the configuration whose file is at fault."""

    def __init__(self, option: str, text: str) -> None:
        super().__init__(text)
        self.option = option


class Pair(NamedTuple):
    """A certificate with its chain and key, PEM files. names: those it is for; () for those that it names itself."""

    certificate: Path
    key: Path
    names: tuple[str, ...] = ()


class CertificateFacts(NamedTuple):
    """names: DNS names, lower case; not_after: Unix time."""

    names: tuple[str, ...]
    not_after: float


def reason_of(error: Exception) -> str:
    """What went wrong, in words of OpenSSL and without its places in C."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate refused: {error.verify_message}"
    reason = getattr(error, "reason", None)
    return str(reason or (error.args[-1] if error.args else error)).lower().replace("_", " ")


class NamedTls(ssl.SSLObject):
    """One connection of a context that has `choose`. asked_name: the name that the client asked for, if any."""

    asked_name: str | None = None


def choose(by_name: Mapping[str, ssl.SSLContext | None]) -> Callable[[ssl.SSLObject, str | None, ssl.SSLContext], None]:
    """
    An `sni_callback` that takes the context of the name that is asked for, `*.example.org` included. None: the context
    that it is set at, which it must not hold: old ones would wait for the collector.
    """

    def chosen(tls: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        if name is None:
            return
        name = name.lower()
        if isinstance(tls, NamedTls):
            tls.asked_name = name
        context = by_name[name] if name in by_name else by_name.get("*." + name.partition(".")[2])
        if context is not None:
            tls.context = context

    return chosen


def server_context(
    pairs: Sequence[Pair],
    client_ca: Path | None = None,
    require: bool = False,
    min_version: str = "1.2",
    alpn: Sequence[str] = (),
    ciphers: str = "",
) -> tuple[ssl.SSLContext, float]:
    """
    A listener's context, and when the first of its certificates ends (Unix time). The first pair is for clients that
    ask for no name, or for none that the others have. Raises CertificateError.
    """
    contexts: dict[str, ssl.SSLContext | None] = {}
    ends: list[float] = []
    made: list[ssl.SSLContext] = []
    for pair in pairs:
        context = _base(ssl.PROTOCOL_TLS_SERVER, min_version, ciphers)
        _load_pair(context, pair)
        if client_ca is not None:
            _load_ca(context, client_ca, "client_ca")
            context.verify_mode = ssl.CERT_REQUIRED if require else ssl.CERT_OPTIONAL
        if alpn:
            context.set_alpn_protocols(list(alpn))
        facts = read(pair.certificate)
        ends.append(facts.not_after)
        for name in pair.names or facts.names:
            contexts.setdefault(name.lower(), context if made else None)
        made.append(context)
    if len(made) > 1 or contexts:
        made[0].sslobject_class = NamedTls
        made[0].sni_callback = choose(contexts)
    return made[0], min(ends)


def client_context(
    ca: Path | None = None,
    pair: Pair | None = None,
    verify: bool = True,
    check_name: bool = True,
    min_version: str = "1.2",
    ciphers: str = "",
    alpn: Sequence[str] = (),
) -> ssl.SSLContext:
    """A cluster's context. ca: None for those of the system. Raises CertificateError."""
    context = _base(ssl.PROTOCOL_TLS_CLIENT, min_version, ciphers)
    context.check_hostname = verify and check_name
    context.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
    if ca is not None:
        _load_ca(context, ca, "ca")
    elif verify:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if pair is not None:
        _load_pair(context, pair)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def _base(protocol: int, min_version: str, ciphers: str) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = VERSIONS[min_version]
    context.options |= ssl.OP_NO_COMPRESSION | getattr(ssl, "OP_NO_RENEGOTIATION", 0)
    if ciphers:
        try:
            context.set_ciphers(ciphers)
        except ssl.SSLError as error:
            raise CertificateError("ciphers", f"{ciphers}: {reason_of(error)}") from error
    return context


def _load_pair(context: ssl.SSLContext, pair: Pair) -> None:
    _must_be_readable(pair.certificate, "certificate")
    _must_be_readable(pair.key, "key")
    read(pair.certificate)  # says better what is wrong with it

    def no_password() -> str:
        raise CertificateError("key", f"{pair.key}: is encrypted; write it without a passphrase")

    try:
        context.load_cert_chain(pair.certificate, pair.key, no_password)
    except ssl.SSLError as error:
        if "MISMATCH" in str(error).upper():
            raise CertificateError("key", f"{pair.key}: is not the key of {pair.certificate}") from None
        raise CertificateError("key", f"{pair.key}: no key in PEM: {reason_of(error)}") from None


def _load_ca(context: ssl.SSLContext, path: Path, option: str) -> None:
    _must_be_readable(path, option)
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        raise CertificateError(option, f"{path}: no certificates in PEM: {reason_of(error)}") from None


def _must_be_readable(path: Path, option: str) -> None:
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        raise CertificateError(option, f"{path}: {error.strerror}") from None


def read(path: Path) -> CertificateFacts:
    """The facts of the first certificate of a file. Raises CertificateError."""
    try:
        from cryptography import x509
    except ImportError:
        text = f"TLS needs the extra `tls`: {install('tls')}"
        raise CertificateError("certificate", text) from None
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names = tuple(name.lower() for name in extension.value.get_values_for_type(x509.DNSName))
    except x509.ExtensionNotFound:
        names = ()
    except (ValueError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no certificate in PEM"
        raise CertificateError("certificate", f"{path}: {reason}") from None
    return CertificateFacts(names, certificate.not_valid_after_utc.timestamp())
