"""TLS contexts of Envoy's listeners and clusters as `tls:`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from envoy_messages import errors, message

from metaproxy.envoy.extensions.tls import downstream, upstream
from metaproxy.envoy.fields import Fields
from metaproxy.envoy.memory_files import MemoryFiles
from metaproxy.envoy.report import Report, Unusable
from metaproxy.envoy.resources import Resources
from metaproxy.envoy.tables import ADS, Context, Need

TLS = "envoy.extensions.transport_sockets.tls.v3"
PAIR = "{certificate_chain: {filename: /c.pem}, private_key: {filename: /k.pem}}"
SDS = "{name: %s, sds_config: {ads: {}, resource_api_version: V3}}"


def translated(side: str, text: str, report: Report | None = None, **secrets: str) -> tuple[Any, Context]:
    found = {name: message(f"{TLS}.Secret", one) for name, one in secrets.items()}
    context = Context(report or Report(), Resources(secrets=found))
    fields = Fields(message(f"{TLS}.{side}TlsContext", text), "tls", context.report)
    translate = downstream if side == "Downstream" else upstream
    plain = translate(fields, context)
    fields.close()
    return plain, context


def server(common: str, more: str = "", **secrets: str) -> Any:
    plain, context = translated("Downstream", f"common_tls_context: {{{common}}}\n{more}", None, **secrets)
    assert errors(context.report) == []
    return plain


def client(common: str, more: str = "", **secrets: str) -> Any:
    plain, context = translated("Upstream", f"common_tls_context: {{{common}}}\n{more}", None, **secrets)
    assert errors(context.report) == []
    return plain


def test_a_listener_has_a_certificate_and_its_key() -> None:
    assert server(f"tls_certificates: [{PAIR}]") == {"certificate": "/c.pem", "key": "/k.pem"}


def test_and_more_of_them() -> None:
    other = PAIR.replace("/c", "/d").replace("/k", "/l")
    assert server(f"tls_certificates: [{PAIR}, {other}]")["certificates"] == [
        {"certificate": "/d.pem", "key": "/l.pem"}
    ]


def test_clients_may_have_to_show_one() -> None:
    found = server(
        f"tls_certificates: [{PAIR}], validation_context: {{trusted_ca: {{filename: /ca.pem}}}}",
        "require_client_certificate: true",
    )
    assert (found["client_ca"], found["require_client_certificate"]) == ("/ca.pem", True)


def test_versions_ciphers_and_alpn() -> None:
    found = server(
        f"tls_certificates: [{PAIR}], alpn_protocols: [h2, http/1.1], tls_params: {{tls_minimum_protocol_version: "
        "TLSv1_3, cipher_suites: ['[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-CHACHA20-POLY1305]', AES128-SHA]}"
    )
    assert (found["min_version"], found["alpn"]) == ("1.3", ["h2", "http/1.1"])
    assert found["ciphers"] == "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:AES128-SHA"


def test_certificates_may_come_as_secrets() -> None:
    found = server(
        f"tls_certificate_sds_secret_configs: [{SDS % 'own'}], validation_context_sds_secret_config: {SDS % 'ca'}",
        own=f"{{name: own, tls_certificate: {PAIR}}}",
        ca="{name: ca, validation_context: {trusted_ca: {filename: /ca.pem}}}",
    )
    assert found == {"certificate": "/c.pem", "key": "/k.pem", "client_ca": "/ca.pem"}


def test_a_secret_that_is_not_there_is_needed() -> None:
    context = Context(Report())
    fields = Fields(
        message(
            f"{TLS}.DownstreamTlsContext",
            f"common_tls_context: {{tls_certificate_sds_secret_configs: [{SDS % 'own'}]}}",
        ),
        "tls",
        context.report,
    )
    with pytest.raises(Unusable):
        downstream(fields, context)
    assert context.needs == [Need("secrets", "own", ADS)]


def test_a_server_is_known_by_its_authority_and_its_names() -> None:
    found = client(
        "validation_context: {trusted_ca: {filename: /ca.pem}, match_typed_subject_alt_names: "
        "[{san_type: URI, matcher: {exact: 'spiffe://a'}}, {san_type: DNS, matcher: {exact: b.c}}]}",
        "sni: b.c",
    )
    assert found == {"server_name": "b.c", "ca": "/ca.pem", "subject_alt_names": ["spiffe://a", "b.c"]}


def test_a_combined_context_is_both() -> None:
    found = client(
        "combined_validation_context: {default_validation_context: {match_typed_subject_alt_names: "
        f"[{{san_type: URI, matcher: {{exact: u}}}}]}}, validation_context_sds_secret_config: {SDS % 'ca'}}}",
        ca="{name: ca, validation_context: {trusted_ca: {filename: /ca.pem}}}",
    )
    assert found == {"ca": "/ca.pem", "subject_alt_names": ["u"]}


def test_without_an_authority_nothing_is_checked_as_in_envoy() -> None:
    assert client("alpn_protocols: [h2]") == {"alpn": ["h2"], "verify": False}
    assert client("validation_context: {trusted_ca: {filename: /ca}, trust_chain_verification: ACCEPT_UNTRUSTED}") == {
        "ca": "/ca",
        "verify": False,
    }


def test_the_systems_authorities() -> None:
    found = client("validation_context: {system_root_certs: {}}", "sni: a.b")
    assert found == {"server_name": "a.b", "verify_name": False}, "Envoy looks at no name that it is not given"


def test_tls_that_says_nothing_else_is_still_tls() -> None:
    assert client("validation_context: {system_root_certs: {}}") == {"verify_name": False}


def test_a_proxy_may_show_a_certificate_of_its_own() -> None:
    found = client(f"tls_certificates: [{PAIR}]")
    assert (found["certificate"], found["key"]) == ("/c.pem", "/k.pem")


@pytest.mark.parametrize(
    ("side", "text", "path"),
    [
        (
            "Upstream",
            "common_tls_context: {validation_context: {verify_certificate_hash: [x]}}",
            "verify_certificate_hash",
        ),
        ("Upstream", "common_tls_context: {tls_params: {tls_maximum_protocol_version: TLSv1_2}}", "tls_maximum"),
        ("Upstream", "common_tls_context: {tls_params: {tls_minimum_protocol_version: TLSv1_0}}", "tls_minimum"),
        (
            "Upstream",
            "common_tls_context: {validation_context: {trusted_ca: {filename: /a}, match_typed_subject_alt_names: "
            "[{san_type: DNS, matcher: {suffix: .b}}]}}",
            "suffix",
        ),
        ("Upstream", "common_tls_context: {tls_params: {ecdh_curves: [P-256]}}", "ecdh_curves"),
        ("Upstream", "common_tls_context: {}\nallow_renegotiation: true", "allow_renegotiation"),
        (
            "Downstream",
            f"common_tls_context: {{tls_certificates: [{PAIR}], validation_context: {{trusted_ca: {{filename: /a}}, "
            "match_typed_subject_alt_names: [{san_type: EMAIL, matcher: {exact: x}}]}}",
            "san_type",
        ),
        ("Downstream", f"common_tls_context: {{tls_certificates: [{PAIR}]}}\nrequire_sni: true", "require_sni"),
    ],
)
def test_what_is_not_there_is_named(side: str, text: str, path: str) -> None:
    _, context = translated(side, text)
    (error,) = errors(context.report)
    assert path in error


def test_names_of_clients_are_compared_whole_or_by_what_they_begin_with() -> None:
    text = f"""common_tls_context:
      tls_certificates: [{PAIR}]
      alpn_protocols: [istio-peer-exchange, h2]
      validation_context:
        trusted_ca: {{filename: /a}}
        match_subject_alt_names: [{{prefix: "spiffe://cluster.local/"}}, {{exact: a.example.org}}]
    """
    plain, context = translated("Downstream", text)
    assert errors(context.report) == [] and plain is not None
    assert plain["client_names"] == ["spiffe://cluster.local/*", "a.example.org"]
    assert plain["alpn"] == ["h2"], "istio-peer-exchange is never agreed to"


@pytest.mark.parametrize("matcher", ["{suffix: x}", "{safe_regex: {regex: x}}"])
def test_names_that_cannot_be_compared_keep_everybody_out_also_where_the_report_is_lenient(matcher: str) -> None:
    text = f"""common_tls_context:
      tls_certificates: [{PAIR}]
      validation_context: {{trusted_ca: {{filename: /a}}, match_subject_alt_names: [{matcher}]}}
    """
    with pytest.raises(Unusable):
        translated("Downstream", text, Report(lenient=True))


def test_an_authority_that_can_not_be_had_makes_the_whole_unusable() -> None:
    """Without it every server would be trusted, also where what can't be honoured is a warning."""
    with pytest.raises(Unusable):
        translated("Upstream", "common_tls_context: {validation_context: {trusted_ca: {inline_string: x}}}")


def test_bytes_that_stand_in_a_message_are_files_in_memory_where_there_is_a_place_for_them() -> None:
    memory = MemoryFiles()
    text = (
        "common_tls_context: {validation_context: {trusted_ca: {inline_string: authority}}, tls_certificates: ["
        "{certificate_chain: {inline_bytes: Yw==}, private_key: {inline_string: key}}]}"
    )
    report = Report(memory=memory)
    fields = Fields(message(f"{TLS}.UpstreamTlsContext", text), "tls", report)
    found: Any = upstream(fields, Context(report))
    fields.close()
    assert errors(report) == []
    read = {key: Path(found[key]).read_bytes() for key in ("ca", "certificate", "key")}
    assert read == {"ca": b"authority", "certificate": b"c", "key": b"key"}
    memory.close()
