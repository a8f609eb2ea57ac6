from __future__ import annotations

from typing import Any

import pytest
from harness import Quill, Stage, answer, call

from metaproxy.filters.rbac import Rbac
from metaproxy.interfaces import IFilter
from metaproxy.message import ErrorKind, FrameError, Kind, Message
from metaproxy.plugins import OptionError, Registry
from metaproxy.testing import check_filter

ANN = "spiffe://cluster.local/ns/demo/sa/ann"
BOB = "spiffe://cluster.local/ns/other/sa/bob"


class Asked:
    """An exchange with these facts and metadata."""

    def __init__(self, known: dict[str, str], message: Message | None = None) -> None:
        self.message = message or Message(Kind.REQUEST, b"", 1, known)
        self.details = ""
        self._known = known

    def get(self, key: str) -> str | None:
        return self._known.get(key) or self.message.get(key)


def passes(rbac: Rbac, **known: str) -> bool:
    exchange: Any = Asked({key.replace("source_", "source."): value for key, value in known.items()})
    return rbac.on_request(exchange) is None


def told(rbac: Rbac, **known: str) -> str:
    """What the access log would show."""
    exchange: Any = Asked(known)
    reply = rbac.on_request(exchange)
    return "; ".join(text for text in (exchange.details, reply and reply.details) if text)


def allow(**conditions: object) -> dict[str, object]:
    return {"principals": [conditions]}


def deny(**conditions: object) -> dict[str, object]:
    return {"action": "deny", "principals": [conditions]}


def test_it_keeps_the_contract() -> None:
    check_filter(Rbac({"all": {}}))


def test_an_allow_policy_lets_pass_what_matches_and_nothing_else() -> None:
    rbac = Rbac({"friends": allow(user="ann")})
    assert passes(rbac, user="ann")
    assert not passes(rbac, user="bob")
    assert not passes(rbac)
    assert rbac.counters == {"allowed": 1, "denied": 2, "logged": 0, "shadow_allowed": 0, "shadow_denied": 0}


def test_a_deny_policy_refuses_what_matches_and_nothing_else() -> None:
    rbac = Rbac({"foes": deny(user="bob")})
    assert [passes(rbac, user="ann"), passes(rbac, user="bob"), passes(rbac)] == [True, False, True]


def test_a_deny_policy_wins_over_an_allow_policy_wherever_it_stands() -> None:
    rbac = Rbac({"friends": allow(user={"prefix": "a"}), "foes": deny(user="amy")})
    assert passes(rbac, user="ann")
    assert not passes(rbac, user="amy")
    assert not passes(rbac, user="bob")


def test_permissions_and_principals_must_both_match_and_of_each_list_one() -> None:
    rbac = Rbac(
        {
            "readers": {
                "permissions": [{"method": {"prefix": "get"}}, {"method": "list"}],
                "principals": [{"user": "ann"}, {"source.address": {"cidr": "10.0.0.0/8"}}],
            }
        }
    )
    assert passes(rbac, method="getItem", user="ann")
    assert passes(rbac, method="list", source_address="10.1.2.3")
    assert not passes(rbac, method="put", user="ann")
    assert not passes(rbac, method="list", user="bob", source_address="11.1.2.3")


def test_a_log_policy_refuses_nothing_and_is_told() -> None:
    rbac = Rbac({"odd": {"action": "log", "principals": [{"user": "bob"}]}})
    assert told(rbac, user="bob") == "rbac_logged_matched_policy[odd]"
    assert told(rbac, user="ann") == ""
    assert (rbac.counters["logged"], rbac.counters["allowed"]) == (1, 2)


def test_shadow_policies_are_counted_and_told_and_never_enforced() -> None:
    rbac = Rbac(shadow={"friends": allow(user="ann")})
    assert told(rbac, user="ann") == "rbac_shadow_allowed_matched_policy[friends]"
    assert passes(rbac, user="bob")
    assert told(rbac, user="bob") == "rbac_shadow_denied_matched_policy[none]"
    assert (rbac.counters["shadow_allowed"], rbac.counters["shadow_denied"]) == (1, 2)
    assert (rbac.counters["allowed"], rbac.counters["denied"]) == (0, 0)


def test_shadow_policies_are_asked_whatever_the_enforced_ones_decide() -> None:
    rbac = Rbac({"foes": deny(user="bob")}, shadow={"friends": allow(user="ann")})
    assert told(rbac, user="bob") == "rbac_shadow_denied_matched_policy[none]; rbac_access_denied_matched_policy[foes]"
    assert told(rbac, user="cid") == "rbac_shadow_denied_matched_policy[none]"
    assert (rbac.counters["shadow_denied"], rbac.counters["denied"], rbac.counters["allowed"]) == (2, 1, 1)


def test_a_refusal_tells_the_client_no_policy_and_the_log_which() -> None:
    exchange: Any = Asked({"user": "bob"})
    reply = Rbac({"secret-plan": deny(user="bob")}).on_request(exchange)
    assert reply is not None
    assert (reply.kind, reply.text) == (ErrorKind.DENIED, "rbac: access denied")
    assert reply.details == "rbac_access_denied_matched_policy[secret-plan]"


def test_the_policy_that_allowed_is_told_too() -> None:
    rbac = Rbac({"one": allow(user="x"), "two": allow(user="ann"), "three": allow(user={"prefix": "a"})})
    assert told(rbac, user="ann") == "rbac_access_allowed_matched_policy[two]"
    assert told(rbac, user="amy") == "rbac_access_allowed_matched_policy[three]"
    assert told(rbac, user="bob") == "rbac_access_denied_matched_policy[none]"


def test_what_another_filter_told_is_kept() -> None:
    exchange: Any = Asked({"user": "ann"})
    exchange.details = "before"
    Rbac({"friends": allow(user="ann")}).on_request(exchange)
    assert exchange.details == "before; rbac_access_allowed_matched_policy[friends]"


def test_counters_of_each_policy_are_there_when_asked_for() -> None:
    rbac = Rbac({"friends": allow(user="ann")}, per_policy=True)
    passes(rbac, user="ann")
    passes(rbac, user="bob")
    assert (rbac.counters["allowed:friends"], rbac.counters["denied:none"]) == (1, 1)


def test_what_cannot_be_decoded_is_refused_and_not_taken_for_missing() -> None:
    def more(message: Message) -> None:
        raise FrameError("cut short")

    exchange: Any = Asked({}, Message(Kind.REQUEST, b"", 1, None, more))
    with pytest.raises(FrameError):
        Rbac({"foes": deny(user="bob")}).on_request(exchange)


def test_shadow_policies_refuse_no_frame_and_hide_its_fault_from_nobody() -> None:
    def more(message: Message) -> None:
        raise FrameError("cut short")

    exchange: Any = Asked({}, Message(Kind.REQUEST, b"", 1, None, more))
    rbac = Rbac(shadow={"foes": deny(user="bob")})
    assert rbac.on_request(exchange) is None
    assert rbac.counters["shadow_denied"] == 1
    with pytest.raises(FrameError):
        Rbac({"foes": deny(user="bob")}).on_request(exchange)


@pytest.mark.parametrize(
    ("options", "where", "text"),
    [
        ({}, None, "no policy, so everything would pass"),
        ({"policies": {"a b": {}}}, "policies", "'a b' is no name of a policy"),
        ({"policies": {"none": {}}}, "policies", "'none' is no name of a policy"),
        ({"policies": {"p": "x"}}, "policies", "'x' is not a mapping"),
        ({"policies": {"p": {"principal": []}}}, "policies", "no option 'principal'; did you mean 'principals'?"),
        ({"policies": {"p": {"action": "refuse"}}}, "policies", "'refuse' is none of allow, deny, log"),
        ({"shadow": {"p": {"permissions": {}}}}, "shadow", "{} is not a list"),
        (
            {"policies": {"p": {"principals": [{"source.address": {"cidr": "10.1"}}]}}},
            "policies",
            'source.address: cidr: "10.1" is not a network',
        ),
    ],
)
def test_what_is_wrong_with_policies_is_told_when_they_are_checked(
    options: dict[str, object], where: str | None, text: str
) -> None:
    with pytest.raises(ValueError) as raised:
        Registry().factory(IFilter, "rbac", options)()
    assert text in str(raised.value)
    assert (raised.value.option if isinstance(raised.value, OptionError) else None) == where


# -- on the path


def quill_with(facts: dict[str, str], metadata: dict[str, str], rbac: Rbac) -> bool:
    """Whether a Quill client with these facts, whose frames hold these metadata, is answered by the server."""

    class Claims(Quill):
        def parse(self, frame: bytes) -> Message:
            message = super().parse(frame)
            message.metadata = {**(message.metadata or {}), **metadata}
            return message

    stage = Stage(codec=Claims(), hooks={"on_request": (rbac.on_request,)})
    client = stage.client()
    client.protocol.facts.update(facts)
    stage.say(client, call(1))
    if not stage.network.upstreams:
        return False
    stage.say(stage.network.upstreams[0], answer(1))
    return client.written == answer(1)


def test_an_identity_is_a_fact_of_the_connection() -> None:
    rbac = Rbac({"ann": allow(**{"source.identity": ANN})})
    assert quill_with({"source.identity": ANN}, {}, rbac)
    assert not quill_with({"source.identity": BOB}, {}, rbac)
    assert not quill_with({}, {}, rbac)


def test_no_client_can_write_itself_an_identity_or_an_address() -> None:
    rbac = Rbac({"ann": allow(**{"source.identity": ANN}), "near": allow(**{"source.address": "10.0.0.1"})})
    assert not quill_with({}, {"source.identity": ANN, "source.address": "10.0.0.1"}, rbac)


# -- DubboAuthorizationPolicy of Aeraki: docs/how-to/authorize-callers.md has the same table


def test_authorization_policy_without_any_allow_policy_everything_passes() -> None:
    rbac = Rbac({"ns[demo]-policy[no]-rule[0]": deny(interface="org.Secret")})
    assert passes(rbac, interface="org.Open", source_identity=BOB)
    assert not passes(rbac, interface="org.Secret")


def test_authorization_policy_allow_without_rules_refuses_all() -> None:
    assert not passes(Rbac({"nothing": {"permissions": []}}), source_identity=ANN, interface="org.Open")


def test_authorization_policy_deny_without_rules_does_nothing() -> None:
    assert passes(Rbac({"nothing": {"action": "deny", "permissions": []}}), interface="org.Open")


def test_authorization_policy_from_and_to_are_both_needed_and_an_absent_one_is_any() -> None:
    both = {"principals": [{"source.identity": ANN}], "permissions": [{"interface": "org.Open"}]}
    rbac = Rbac({"rule[0]": both, "rule[1]": {"permissions": [{"method": "ping"}]}})
    assert passes(rbac, source_identity=ANN, interface="org.Open")
    assert not passes(rbac, source_identity=ANN, interface="org.Other")
    assert not passes(rbac, source_identity=BOB, interface="org.Open")
    assert passes(rbac, source_identity=BOB, interface="org.Other", method="ping")


def test_authorization_policy_fields_of_one_source_are_anded_and_their_values_ored() -> None:
    source = {
        "source.identity": {"in": [ANN, BOB]},
        "not": {"source.identity": {"regex": ".*/ns/other/.*"}},
    }
    rbac = Rbac({"rule[0]": {"principals": [source]}})
    assert passes(rbac, source_identity=ANN)
    assert not passes(rbac, source_identity=BOB)


def test_authorization_policy_values_are_exact_prefix_suffix_or_any_that_is_not_empty() -> None:
    def identity(condition: object) -> Rbac:
        return Rbac({"rule[0]": {"principals": [{"source.identity": condition}]}})

    assert passes(identity(ANN), source_identity=ANN)
    assert not passes(identity(ANN), source_identity=ANN + "a")
    assert passes(identity({"prefix": "spiffe://cluster.local/ns/demo/"}), source_identity=ANN)
    assert passes(identity({"suffix": "/sa/ann"}), source_identity=ANN)
    some = identity({"regex": ".+"})
    assert (passes(some, source_identity=ANN), passes(some)) == (True, False)


def test_authorization_policy_namespaces_look_into_the_identity() -> None:
    rbac = Rbac({"rule[0]": {"principals": [{"source.identity": {"regex": ".*/ns/de.*/.*"}}]}})
    assert passes(rbac, source_identity=ANN)
    assert not passes(rbac, source_identity=BOB)


def test_authorization_policy_without_mtls_principals_never_match_and_not_principals_always_do() -> None:
    named = {"principals": [{"source.identity": {"in": [ANN]}}]}
    excluded = {"principals": [{"not": {"source.identity": {"in": [ANN]}}}]}
    assert not passes(Rbac({"rule[0]": named}))
    assert passes(Rbac({"rule[0]": excluded}))
    assert not passes(Rbac({"rule[0]": excluded}), source_identity=ANN)


def test_authorization_policy_not_interfaces_and_not_methods_exclude_each_of_their_values() -> None:
    operation = {"interface": "org.Open", "not": {"method": {"in": ["drop", "stop"]}}}
    rbac = Rbac({"rule[0]": {"permissions": [operation]}})
    assert passes(rbac, interface="org.Open", method="get")
    assert not passes(rbac, interface="org.Open", method="stop")


# -- what would happen


def test_it_explains_what_it_would_do_and_counts_nothing() -> None:
    policies = {"foes": deny(user="bob"), "odd": {"action": "log", "principals": [{"user": "ann"}]}}
    rbac = Rbac(policies, shadow={"friends": allow(user="cid")})
    assert rbac.explain({"user": "bob"}.get) == (
        "rbac_access_denied_matched_policy[foes]; rbac_shadow_denied_matched_policy[none]"
    )
    assert rbac.explain({"user": "ann"}.get) == (
        "rbac_access_allowed_matched_policy[none]; rbac_shadow_denied_matched_policy[none]; "
        "rbac_logged_matched_policy[odd]"
    )
    assert set(rbac.counters.values()) == {0}
