"""
TLS of listeners and clusters.

Lives here: translators of DownstreamTlsContext, UpstreamTlsContext and raw_buffer, certificates by file or by SDS. Does
not: which of several transport sockets an endpoint has (`clusters`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from metaproxy.envoy.data_sources import path_of
from metaproxy.envoy.fields import Fields, without_empty
from metaproxy.envoy.sources import server_of
from metaproxy.envoy.tables import DOWNSTREAM_SOCKETS, UPSTREAM_SOCKETS, Context, Plain

_TLS = "envoy.extensions.transport_sockets.tls.v3"
_RAW = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"
PEER_EXCHANGE = "istio-peer-exchange"
"""Of Istio: under it both sides first say who they are. It is never agreed to, so that none has to."""
_VERSIONS = {"TLS_AUTO": "", "TLSv1_2": "1.2", "TLSv1_3": "1.3"}

_PROVIDERS = ("validation_context_certificate_provider", "validation_context_certificate_provider_instance")


class Pair(NamedTuple):
    """A certificate and its key: paths."""

    certificate: str
    key: str


@DOWNSTREAM_SOCKETS.add(_RAW, "envoy.transport_sockets.raw_buffer")
@UPSTREAM_SOCKETS.add(_RAW, "envoy.transport_sockets.raw_buffer")
def raw_buffer(config: Fields, context: Context) -> Plain | None:
    """No TLS."""
    return None


@DOWNSTREAM_SOCKETS.add(f"{_TLS}.DownstreamTlsContext", "envoy.transport_sockets.tls")
def downstream(config: Fields, context: Context) -> Plain | None:
    common = config.message_at("common_tls_context")
    config.require("common_tls_context")
    pairs = certificates(common, context) if common is not None else []
    if common is None or not pairs:
        context.report.unusable(config.path, "no certificate; write tls_certificates with files, or their SDS names")
    plain: Plain = {"certificate": pairs[0].certificate, "key": pairs[0].key}
    plain["certificates"] = [{"certificate": one.certificate, "key": one.key} for one in pairs[1:]]
    plain.update(parameters(common))
    if config.given("require_sni"):
        config.essential("require_sni", "metaproxy takes clients that name no server")
    for validation in validations(common, context):
        plain["client_ca"] = path_of(validation.message_at("trusted_ca"), "an authority") or plain.get("client_ca")
        validation.ignore("watched_directory")
        plain["client_names"] = [*_wanted(plain.get("client_names")), *_alternative_names(validation)]
        validation.refuse("trust_chain_verification", "metaproxy checks every certificate that clients show", 0)
        _close(validation)
    if config.flag("require_client_certificate"):
        plain["require_client_certificate"] = True
    return without_empty(plain)


@UPSTREAM_SOCKETS.add(f"{_TLS}.UpstreamTlsContext", "envoy.transport_sockets.tls")
def upstream(config: Fields, context: Context) -> Plain | None:
    config.ignore("max_session_keys")
    named = config.flag("auto_sni_san_validation")
    plain: Plain = {}
    if config.text("sni"):
        plain["server_name"] = config.text("sni")
    config.ignore("auto_host_sni")  # so it is wherever no name is given
    common = config.message_at("common_tls_context")
    if common is None:
        return {"verify": False, **plain}
    pairs = certificates(common, context)
    if len(pairs) > 1:
        context.report.unhonoured(common.path, "more than one certificate; metaproxy shows servers the first")
    if pairs:
        plain.update(certificate=pairs[0].certificate, key=pairs[0].key)
    plain.update(parameters(common))
    found = validations(common, context)
    for validation in found:
        plain.update(_server(validation))
    if not found or not (plain.get("ca") or any(one.given("system_root_certs") for one in found)):
        plain["verify"] = False  # Envoy checks nothing without an authority
        if plain.pop("subject_alt_names", None):
            context.report.essential(common.path, "names are checked only with trusted_ca or system_root_certs")
    elif plain.get("verify") is not False and not plain.get("subject_alt_names") and not named:
        plain["verify_name"] = False  # Envoy checks the authority alone
    return without_empty(plain) or {"verify": True}  # an empty section would be none, and so no TLS


def _server(validation: Fields) -> Plain:
    """What a CertificateValidationContext asks of servers."""
    plain: Plain = {}
    ca = path_of(validation.message_at("trusted_ca"), "an authority")
    if ca:
        plain["ca"] = ca
    elif validation.given("trusted_ca"):
        validation.report.unusable(validation.at("trusted_ca"), "without it every server would be trusted")
    validation.ignore("watched_directory")  # files are read again when they change
    if validation.message_at("system_root_certs") is not None and ca:
        validation.unhonoured("system_root_certs", "metaproxy trusts those of trusted_ca alone")
    if validation.choice("trust_chain_verification") == "ACCEPT_UNTRUSTED":
        plain["verify"] = False
    names = _alternative_names(validation)
    if names:
        plain["subject_alt_names"] = names
    _close(validation)
    return plain


def _close(validation: Fields) -> None:
    """Report what else is asked of the other side: also where it stands in a secret, which nothing else would close."""
    if validation.given("allow_expired_certificate"):
        validation.unhonoured("allow_expired_certificate", "metaproxy trusts no certificate that has expired")
    validation.guard()
    validation.close()


def _wanted(found: object) -> list[str]:
    return [str(one) for one in found] if isinstance(found, list) else []


def _alternative_names(validation: Fields) -> list[str]:
    """Names of which the other side's certificate must have one; with a `*` at the end: that begin so."""
    names = [*_typed_names(validation.each("match_typed_subject_alt_names"))]
    return names + [one for matcher in validation.each("match_subject_alt_names") if (one := _exact(matcher))]


def _typed_names(matchers: Iterable[Fields]) -> Iterable[str]:
    for matcher in matchers:
        kind = matcher.choice("san_type")
        inner = matcher.message_at("matcher")
        if kind not in ("DNS", "URI"):
            matcher.leave("matcher")
            matcher.essential("san_type", f"metaproxy compares names of the types DNS and URI, not {kind}")
        elif inner is not None and (name := _exact(inner)):
            yield name


def _exact(matcher: Fields) -> str:
    which = matcher.which("match_pattern")
    if which not in ("exact", "prefix"):
        text = "metaproxy compares alternative names with whole ones or what they begin with; write exact or prefix"
        matcher.essential(which or "exact", text)
        return ""
    matcher.ignore("ignore_case")  # DNS names are compared so in any case, URIs never
    return matcher.text("exact") if which == "exact" else matcher.text("prefix") + "*"


# -- what both have


def parameters(common: Fields) -> Plain:
    """Versions, ciphers and ALPN."""
    plain: Plain = {"alpn": [name for name in common.texts("alpn_protocols") if name != PEER_EXCHANGE]}
    params = common.message_at("tls_params")
    if params is not None:
        least, most = params.choice("tls_minimum_protocol_version"), params.choice("tls_maximum_protocol_version")
        if least not in _VERSIONS:
            params.unhonoured("tls_minimum_protocol_version", f"{least} is broken; metaproxy begins with TLSv1_2")
        elif _VERSIONS[least]:
            plain["min_version"] = _VERSIONS[least]
        if most not in ("TLS_AUTO", "TLSv1_3"):
            params.unhonoured("tls_maximum_protocol_version", "metaproxy always speaks TLSv1_3 with those who can")
        ciphers = params.texts("cipher_suites")
        if ciphers:
            plain["ciphers"] = ":".join(ciphers).translate(str.maketrans("|", ":", "[]"))
    return without_empty(plain)


def certificates(common: Fields, context: Context) -> list[Pair]:
    """Certificates with their keys, from files: those that the message names, and those of secrets that are there."""
    found = common.each("tls_certificates")
    for config in common.each("tls_certificate_sds_secret_configs"):
        secret = _secret(config, "tls_certificate", context)
        found = [*found, secret]
    pairs = [_pair(one) for one in found]
    return [one for one in pairs if one is not None]


def _pair(certificate: Fields) -> Pair | None:
    certificate.ignore("watched_directory")  # files are read again when they change
    chain = path_of(certificate.message_at("certificate_chain"), "a certificate")
    key = path_of(certificate.message_at("private_key"), "a key")
    if chain is None or key is None:
        for name in ("certificate_chain", "private_key"):
            if not certificate.given("pkcs12"):
                certificate.require(name)
        return None
    return Pair(chain, key)


def validations(common: Fields, context: Context) -> list[Fields]:
    """What is asked of the other side's certificate: one message, or two of which the later one adds to the first."""
    which = common.which("validation_context_type")
    if which == "validation_context":
        inner = common.message_at("validation_context")
        return [] if inner is None else [inner]
    if which == "validation_context_sds_secret_config":
        config = common.message_at("validation_context_sds_secret_config")
        return [] if config is None else [_secret(config, "validation_context", context)]
    if which == "combined_validation_context":
        combined = common.message_at("combined_validation_context")
        assert combined is not None
        default = combined.message_at("default_validation_context")
        config = combined.message_at("validation_context_sds_secret_config")
        secret = [] if config is None else [_secret(config, "validation_context", context)]
        for name in _PROVIDERS:
            if combined.given(name):
                combined.essential(name, "metaproxy takes authorities from files, from messages and over SDS")
        return [*([] if default is None else [default]), *secret]
    if which is not None:
        common.essential(which, "metaproxy takes authorities from files, from messages and over SDS")
    return []


def _secret(config: Fields, kind: str, context: Context) -> Fields:
    """A secret that a server brings; the resource as a whole waits for it."""
    name = config.text("name")
    source = config.message_at("sds_config")
    if not name:
        config.invalid("name", "is missing")
    server = server_of(source, "secrets", context) if source is not None else ""
    if server is not None and source is not None:
        context.need("secrets", name, server)
    message = context.resources.secrets.get(name)
    if message is None:
        context.report.unusable(config.path, f"the secret {name!r} is not there (yet)")
    secret = Fields(message, f"secret {name!r}", context.report)
    secret.ignore("name")
    inner = secret.message_at(kind)
    if inner is None:
        context.report.unusable(secret.path, f"is no {kind}")
    return inner
