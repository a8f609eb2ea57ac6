"""
`tls:` of listeners and clusters as transport sockets.

Lives here: `downstream`, `upstream`. Does not: reading certificates.
"""

from __future__ import annotations

from metaproxy.envoy.writing.keys import Keys, Plain, file, typed, without_empty

_TLS = "envoy.extensions.transport_sockets.tls.v3"
_NAME = "envoy.transport_sockets.tls"


def downstream(tls: Keys, offered: tuple[str, ...]) -> Plain:
    """offered: the codec's protocols, where none are named."""
    certificates = [_pair(tls)]
    for more in tls.each("certificates"):
        certificates.append(_pair(more))
        more.refuse("names", "Envoy takes the names that stand in the certificate")
        more.close()
    common: Plain = {"tls_certificates": certificates, **_common(tls, offered)}
    if tls.given("client_ca"):
        common["validation_context"] = {"trusted_ca": file(tls.text("client_ca"))}
    context = typed(f"{_TLS}.DownstreamTlsContext", common_tls_context=common)
    if tls.flag("require_client_certificate"):
        context["require_client_certificate"] = True
    tls.ignore("client_ca", "handshake_timeout")  # the chain has the time
    tls.close()
    return {"name": _NAME, "typed_config": context}


def upstream(tls: Keys) -> Plain:
    common = _common(tls, ())
    if tls.given("certificate"):
        common["tls_certificates"] = [_pair(tls)]
    tls.ignore("certificate", "key")
    context = typed(f"{_TLS}.UpstreamTlsContext")
    name = tls.text("server_name")
    if name:
        context["sni"] = name
    else:
        context["auto_host_sni"] = True
    verify = tls.flag("verify")
    ca, names = tls.text("ca"), tls.texts("subject_alt_names")
    if verify:
        validation: Plain = {"trusted_ca": file(ca)} if ca and ca != "None" else {"system_root_certs": {}}
        if names:
            validation["match_typed_subject_alt_names"] = [
                {"san_type": "URI" if "://" in one else "DNS", "matcher": {"exact": one}} for one in names
            ]
        else:
            context["auto_sni_san_validation"] = True
        common["validation_context"] = validation
    context["common_tls_context"] = common
    tls.close()
    return {"name": _NAME, "typed_config": context}


def _pair(tls: Keys) -> Plain:
    return {"certificate_chain": file(tls.text("certificate")), "private_key": file(tls.text("key"))}


def _common(tls: Keys, offered: tuple[str, ...]) -> Plain:
    params: Plain = {}
    if tls.text("min_version") == "1.3":
        params["tls_minimum_protocol_version"] = "TLSv1_3"
    ciphers = tls.text("ciphers")
    if ciphers:
        params["cipher_suites"] = ciphers.split(":")
    return without_empty({"tls_params": params, "alpn_protocols": tls.texts("alpn") or list(offered)})
