"""
DubboAuthorizationPolicy, `dubbo.aeraki.io/v1alpha1`: who may call which interfaces and methods.

Lives here: its keys. Does not: the policies of a filter that are made of it (`generator.authorization`).
"""

# ruff: noqa: RUF009 - `option` makes a dataclass field, as dataclasses.field does

from __future__ import annotations

from dataclasses import dataclass

from metaproxy.config.schema.shape import ListOf, option
from metaproxy.mesh.objects.struct import Spec, Struct
from metaproxy.mesh.objects.values import NAME, Choice

_VALUES = ListOf(NAME)
_HOW = "`abc*`, `*abc` and `*` are patterns"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source(Spec):
    """Who calls, by the identity of its certificate. Each key that is given must hold."""

    principals: tuple[str, ...] = option(_VALUES, f"One of these, such as `cluster.local/ns/a/sa/b`; {_HOW}.", ())
    not_principals: tuple[str, ...] = option(_VALUES, "None of these.", ())
    namespaces: tuple[str, ...] = option(_VALUES, "Its namespace is one of these.", ())
    not_namespaces: tuple[str, ...] = option(_VALUES, "Its namespace is none of these.", ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(Spec):
    """What is called. Each key that is given must hold."""

    interfaces: tuple[str, ...] = option(_VALUES, f"One of these; {_HOW}.", ())
    not_interfaces: tuple[str, ...] = option(_VALUES, "None of these.", ())
    methods: tuple[str, ...] = option(_VALUES, "One of these.", ())
    not_methods: tuple[str, ...] = option(_VALUES, "None of these.", ())


@dataclass(frozen=True, slots=True, kw_only=True)
class From(Spec):
    """An item of `from`."""

    source: Source = option(Struct(Source), "Who calls.")


@dataclass(frozen=True, slots=True, kw_only=True)
class To(Spec):
    """An item of `to`."""

    operation: Operation = option(Struct(Operation), "What is called.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(Spec):
    """Calls by one of `from` of one of `to`."""

    from_: tuple[From, ...] = option(ListOf(Struct(From)), "One of these calls.", (), "anybody")
    to: tuple[To, ...] = option(ListOf(Struct(To)), "One of these is called.", (), "anything")


@dataclass(frozen=True, slots=True, kw_only=True)
class DubboAuthorizationPolicy(Spec):
    """Who may call the services of its namespace; in the root namespace, of all namespaces."""

    action: str = option(Choice("ALLOW", "DENY"), "What happens to calls of which a rule holds.", "ALLOW")
    rules: tuple[Rule, ...] = option(ListOf(Struct(Rule)), "One of these must hold.", (), "none ever holds")


CLOSED = DubboAuthorizationPolicy(action="DENY", rules=(Rule(),))
"""Denies all calls: what holds in the place of a policy that is refused, of which no version was right before."""
