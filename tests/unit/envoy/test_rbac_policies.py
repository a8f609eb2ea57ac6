"""Envoy's RBAC policies decide here as there."""

from __future__ import annotations

import pytest
from envoy_messages import message

from metaproxy.envoy.fields import Fields
from metaproxy.envoy.rbac_policies import options_of
from metaproxy.envoy.report import Report
from metaproxy.filters.rbac import Rbac
from metaproxy.message import ErrorKind, Reply
from metaproxy.testing import FakeExchange

RBAC = "envoy.extensions.filters.http.rbac.v3.RBAC"
FACTS = {
    "source.address": "10.1.2.3",
    "source.identity": "spiffe://c/ns/a/sa/b",
    "destination.port": "8080",
    "tls.sni": "a.b",
}


def options(text: str) -> tuple[dict[str, object], list[str]]:
    report = Report()
    fields = Fields(message(RBAC, text), "rbac", report)
    found = options_of(fields)
    fields.close()
    return found, [str(one) for one in report.errors]


def passes(rules: str) -> bool:
    found, errors = options(f"rules: {rules}")
    assert errors == []
    exchange = FakeExchange({"method": "GET", "path": "/a/b", "x": "1"}, facts=FACTS)
    said = Rbac(**found).on_request(exchange)  # type: ignore[arg-type]
    if said is None:
        return True
    assert isinstance(said, Reply) and said.kind is ErrorKind.DENIED
    return False


ANY = "[{any: true}]"


@pytest.mark.parametrize(
    ("permission", "holds"),
    [
        ("any: true", True),
        ("header: {name: ':method', string_match: {exact: GET}}", True),
        ("header: {name: x, string_match: {prefix: '2'}}", False),
        ("url_path: {path: {prefix: /a}}", True),
        ("url_path: {path: {exact: /a}}", False),
        ("destination_port: 8080", True),
        ("destination_port_range: {start: 8000, end: 8080}", False),
        ("requested_server_name: {suffix: .b}", True),
        ("and_rules: {rules: [{any: true}, {destination_port: 1}]}", False),
        ("or_rules: {rules: [{destination_port: 1}, {any: true}]}", True),
        ("not_rule: {destination_port: 1}", True),
    ],
)
def test_a_permission(permission: str, holds: bool) -> None:
    policy = f"{{p: {{permissions: [{{{permission}}}], principals: {ANY}}}}}"
    assert passes(f"{{action: ALLOW, policies: {policy}}}") is holds
    assert passes(f"{{action: DENY, policies: {policy}}}") is not holds


@pytest.mark.parametrize(
    ("principal", "holds"),
    [
        ("any: true", True),
        ("authenticated: {}", True),
        ("authenticated: {principal_name: {exact: 'spiffe://c/ns/a/sa/b'}}", True),
        ("authenticated: {principal_name: {safe_regex: {regex: '.*/ns/z/.*'}}}", False),
        ("direct_remote_ip: {address_prefix: 10.0.0.0, prefix_len: 8}", True),
        ("remote_ip: {address_prefix: 11.0.0.0, prefix_len: 8}", False),
        ("not_id: {source_ip: {address_prefix: 10.1.2.3, prefix_len: 32}}", False),
        ("and_ids: {ids: [{any: true}, {authenticated: {}}]}", True),
        ("or_ids: {ids: [{source_ip: {address_prefix: '::1', prefix_len: 128}}]}", False),
    ],
)
def test_a_principal(principal: str, holds: bool) -> None:
    assert passes(f"{{policies: {{p: {{permissions: {ANY}, principals: [{{{principal}}}]}}}}}}") is holds


def test_rules_that_allow_and_have_no_policies_let_nothing_pass() -> None:
    assert not passes("{action: ALLOW}")
    assert options("rules: {action: DENY}") == ({}, [])


@pytest.mark.parametrize("name", ["none", "secret", "runtime"])
def test_names_that_mean_something_else_here_are_changed(name: str) -> None:
    found, _ = options(f"rules: {{policies: {{{name}: {{permissions: {ANY}, principals: {ANY}}}}}}}")
    assert found == {
        "policies": {
            f"policy-{name}": {"action": "allow", "permissions": [{"any": True}], "principals": [{"any": True}]}
        }
    }


def test_shadow_rules_are_apart() -> None:
    found, errors = options(f"shadow_rules: {{policies: {{p: {{permissions: {ANY}, principals: {ANY}}}}}}}")
    assert (list(found), errors) == (["shadow"], [])


@pytest.mark.parametrize(
    "policy",
    [
        f"{{permissions: {ANY}, principals: {ANY}, condition: {{const_expr: {{bool_value: true}}}}}}",
        f"{{permissions: [{{metadata: {{filter: x, path: [{{key: y}}], value: {{present_match: true}}}}}}], "
        f"principals: {ANY}}}",
    ],
)
def test_what_is_not_there_is_named_and_never_holds(policy: str) -> None:
    (error,) = options(f"rules: {{policies: {{p: {policy}}}}}")[1]
    assert "rules.policies.p" in error


def test_aeraki_asks_for_the_service_and_the_method_of_dubbo() -> None:
    asked = (
        "{metadata: {filter: envoy.filters.dubbo.rbac, path: [{key: service}], value: {string_match: {prefix: org.}}}}"
    )
    found, errors = options(f"rules: {{policies: {{p: {{permissions: [{asked}], principals: {ANY}}}}}}}")
    assert errors == []
    assert found["policies"] == {
        "p": {"action": "allow", "permissions": [{"interface": {"prefix": "org."}}], "principals": [{"any": True}]}
    }
