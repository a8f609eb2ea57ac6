"""
`rbac`: who may ask what.

Lives here: policies, what follows from those that match, shadow policies. Does not: how conditions are compared and
found (`routing.expression`); who a peer is (facts of its connection, such as source.identity, or its metadata).

Semantics: Envoy's "Role Based Access Control" filter, its DENY rules before its ALLOW rules, as Istio and Aeraki stack
them. docs/reference/filters.md says where ours differ.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Literal, NamedTuple

from zope.interface import implementer

from metaproxy.filters.details import note
from metaproxy.filters.unclear import is_unclear, values_of
from metaproxy.interfaces import IExchange, IOnRequest
from metaproxy.message import SEVERAL, ErrorKind, FrameError, Reply, Several
from metaproxy.options import OptionError, made
from metaproxy.routing.expression import ALWAYS, Expression, FirstMatch, Get, Values, all_of, any_of
from metaproxy.units import Option, OptionsOf

ALLOW, DENY, LOG = ACTIONS = ("allow", "deny", "log")
ENFORCED, SHADOW = "access", "shadow"
NONE = "none"
"""What stands for the policy where none matched; no policy may be called so."""
MAX_NAME = 128
"""Characters of a policy's name, which every line of an access log may repeat."""

_NAME = re.compile(rf"[\x21-\x7e]{{1,{MAX_NAME}}}")
_TEXT = "rbac: access denied"
_MOST_JUDGED = 10_000
"""Values that are looked at to refuse some of what a request names by itself; of a longer one all is refused."""


class Verdict(NamedTuple):
    """
    What policies say to a request: whether it may pass, which of them decided, as what that is counted, and what it is
    called in logs.
    """

    allowed: bool
    policy: str
    event: str
    details: str

    @classmethod
    def of(cls, allowed: bool, policy: str, kind: str) -> Verdict:
        done = "allowed" if allowed else "denied"
        event = f"{SHADOW}_{done}" if kind == SHADOW else done
        return cls(allowed, policy, event, f"rbac_{kind}_{done}_matched_policy[{policy}]")


class Policies:
    """
    The policies of one filter: who is refused, who may pass, what is logged. compiled: name -> action and condition, in
    order; kind: ENFORCED or SHADOW.
    """

    def __init__(self, compiled: Mapping[str, tuple[str, Expression]], kind: str) -> None:
        self._deny, self._allow, self._log = (_of_action(compiled, action) for action in (DENY, ALLOW, LOG))
        self._compiled = compiled
        self._verdicts = {
            allowed: {name: Verdict.of(allowed, name, kind) for name in (*compiled, NONE)} for allowed in (False, True)
        }

    def judge(self, get: Get) -> Verdict:
        """Raises FrameError when metadata that a policy asks for can't be decoded."""
        if self._deny is not None:
            name = self._deny(get)
            if name is not None:
                return self._verdicts[False][name]
        if self._allow is None:
            return self._verdicts[True][NONE]
        name = self._allow(get)
        return self._verdicts[name is not None][name or NONE]

    def judge_unclear(self, values: Values) -> Verdict:
        """
        As `judge`, for a request of which the server may see other values than we do: a policy that denies matches if
        it may match, one that allows only if it surely does.
        """
        allowing, allowed = False, ""
        for name, (action, expression) in self._compiled.items():
            if action == LOG or (action == ALLOW and allowed):
                continue
            surely = expression.surely(values)
            if action == DENY and surely is not False:
                return self._verdicts[False][name]
            if action == ALLOW:
                allowing = True
                allowed = name if surely else ""
        return self._verdicts[bool(allowed) or not allowing][allowed or NONE]

    def logs(self, get: Get) -> str | None:
        """The first policy with the action log that matches."""
        return self._log(get) if self._log is not None else None


def _of_action(compiled: Mapping[str, tuple[str, Expression]], action: str) -> Callable[[Get], str | None] | None:
    """What finds the first policy of an action that matches; None without any."""
    chosen = {name: expression for name, (does, expression) in compiled.items() if does == action}
    if not chosen:
        return None
    names: tuple[str | None, ...] = (*chosen, None)
    find = FirstMatch(list(chosen.values())).find
    return lambda get: names[find(get)]  # -1 where none matches: the last


_ANYTHING: list[object] = []
"""What `permissions` and `principals` are where they are not written: it holds always, unlike an empty list."""


class Policy:
    """One policy: what it does with a request of which a permission and a principal hold."""

    def __init__(
        self,
        action: Annotated[Literal["allow", "deny", "log"], Option("What it does.")] = "allow",
        permissions: Annotated[
            list[object], Option("Expressions: what may be asked for; one of it must hold.", default="anything")
        ] = _ANYTHING,
        principals: Annotated[
            list[object], Option("Expressions: who asks; one of it must hold.", default="anyone")
        ] = _ANYTHING,
    ) -> None:
        self.action: str = action
        self.holds = all_of([_either("permissions", permissions), _either("principals", principals)])


def _either(option: str, written: list[object]) -> Expression:
    """What a list asks: one of it; anything where it is not written; nothing passes an empty one."""
    if written is _ANYTHING:
        return ALWAYS
    try:
        return any_of(written)
    except ValueError as error:
        raise OptionError(option, str(error)) from None


_PolicyOptions = dict[str, Annotated[object, OptionsOf(Policy)]] | None


@implementer(IOnRequest)
class Rbac:
    """Allows or refuses requests by who asks and what is asked for."""

    def __init__(
        self,
        policies: Annotated[_PolicyOptions, Option("What is enforced.")] = None,
        shadow: Annotated[
            _PolicyOptions, Option("Policies that are evaluated, counted and shown, and never enforced.")
        ] = None,
        per_policy: Annotated[
            bool,
            Option(
                "Count each policy by itself too: events `allowed:NAME`, `denied:NAME`, `shadow_allowed:NAME`, "
                "`shadow_denied:NAME`."
            ),
        ] = False,
    ) -> None:
        if not policies and not shadow:
            raise ValueError("no policy, so everything would pass; write policies: {NAME: {...}} or shadow:")
        self._policies = _policies("policies", policies, ENFORCED)
        self._shadow = _policies("shadow", shadow, SHADOW)
        self._per_policy = per_policy
        self.counters = {"allowed": 0, "denied": 0, "logged": 0, "shadow_allowed": 0, "shadow_denied": 0}

    def on_request(self, exchange: IExchange) -> Reply | None:
        get = exchange.get
        policies = self._policies
        if policies is None:
            note(exchange, self._judge_in_the_shadow(exchange))
            return None
        # What is enforced comes first: it meets what can't be decoded, and refuses it.
        verdict = policies.judge(get)
        if verdict.allowed and is_unclear(exchange.message):
            verdict = policies.judge_unclear(values_of(exchange))
        self._count(verdict)
        if self._shadow is not None:
            note(exchange, self._judge_in_the_shadow(exchange))
        if not verdict.allowed:
            return Reply(ErrorKind.DENIED, _TEXT, details=verdict.details, only=self._refused_alone(policies, exchange))
        if verdict.policy is not NONE:
            note(exchange, verdict.details)
        logged = policies.logs(get)
        if logged is not None:
            self.counters["logged"] += 1
            note(exchange, f"rbac_logged_matched_policy[{logged}]")
        return None

    def _refused_alone(self, policies: Policies, exchange: IExchange) -> dict[str, list[str]] | None:
        """Of the things that a request names those that are refused, if others of them are not."""
        message = exchange.message
        asked = self._asked_for(policies, exchange)
        named = {key: message.values(key) for key in asked if isinstance(message.get(key), Several)}
        total = sum(map(len, named.values()))
        for key, values in named.items():
            texts = [text for text in values if text is not None]
            if len(texts) * (1 + total - len(texts)) > _MOST_JUDGED:
                continue
            refused = [text for text in texts if not self._may_have(policies, exchange, key, text)]
            if 0 < len(refused) < len(texts):
                return {key: refused}
        return None

    def _asked_for(self, policies: Policies, exchange: IExchange) -> list[str]:
        """The keys of what may be refused by itself that the policies look at: others are not even read."""
        get, all_values = exchange.get, values_of(exchange)
        asked: set[str] = set()

        def noting(key: str) -> str | None:
            asked.add(key)
            return get(key)

        def noting_all(key: str) -> tuple[str | None, ...]:
            asked.add(key)
            return all_values(key)

        policies.judge(noting)
        if is_unclear(exchange.message):
            policies.judge_unclear(noting_all)
        return sorted(asked & SEVERAL)

    def _may_have(self, policies: Policies, exchange: IExchange, key: str, text: str) -> bool:
        """Whether a request like this one that names this alone would pass."""
        get, all_values = exchange.get, values_of(exchange)
        if not policies.judge(lambda asked: text if asked == key else get(asked)).allowed:
            return False
        if not is_unclear(exchange.message):
            return True
        return policies.judge_unclear(lambda asked: (text,) if asked == key else all_values(asked)).allowed

    def explain(self, get: Get) -> str:
        details = [one.judge(get).details for one in (self._policies, self._shadow) if one is not None]
        logged = self._policies.logs(get) if self._policies is not None else None
        return "; ".join([*details, *([f"rbac_logged_matched_policy[{logged}]"] if logged is not None else [])])

    def _judge_in_the_shadow(self, exchange: IExchange) -> str:
        """Evaluates the shadow policies and tells what they would have done. Never raises for what a peer sent."""
        assert self._shadow is not None
        more = exchange.message.more
        try:
            verdict = self._shadow.judge(exchange.get)
            if verdict.allowed and is_unclear(exchange.message):
                verdict = self._shadow.judge_unclear(values_of(exchange))
        except FrameError:
            # The error comes once only, and what enforces something behind us must meet it, too.
            exchange.message.more = more
            verdict = Verdict.of(False, NONE, SHADOW)
        self._count(verdict)
        return verdict.details

    def _count(self, verdict: Verdict) -> None:
        counters = self.counters
        counters[verdict.event] += 1
        if self._per_policy:
            own = f"{verdict.event}:{verdict.policy}"
            counters[own] = counters.get(own, 0) + 1


def _policies(option: str, written: dict[str, object] | None, kind: str) -> Policies | None:
    if not written:
        return None
    compiled = {}
    for name, written_policy in written.items():
        if not _NAME.fullmatch(str(name)) or name == NONE:
            text = f"{name!r:.150} is no name of a policy; write 1 to {MAX_NAME} letters without spaces"
            raise OptionError(option, text, path=(name,))
        policy = made(Policy, written_policy, option, name)
        compiled[name] = policy.action, policy.holds
    return Policies(compiled, kind)
