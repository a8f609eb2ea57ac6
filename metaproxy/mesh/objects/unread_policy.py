"""
What is still known of a policy that can't be read: for which namespace it was written.

Lives here: `namespace_of`, `policy_in`. Does not: what holds in its place (`dubbo_authorization.CLOSED`).
"""

from __future__ import annotations

import re

from metaproxy.config.schema.nodes import Node
from metaproxy.mesh.objects.kinds import KINDS, KnownKind

DEFAULT_NAMESPACE = "default"
ROOT_NAMESPACE = "istio-system"
"""What stands in it holds for all namespaces."""

_NAMESPACE = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_NAMESPACES = re.compile(rb"\bnamespace[\"']?[ \t]*:[ \t]*[\"']?([^\s\"',}#]*)")


def refused_kind(kind: str, version: str) -> KnownKind | None:
    """
    Return the kind of which an object must have been whose kind or version is none that is read, if something holds in
    the place of such an object. version: `apiVersion` as it is written.
    """
    known = KINDS.get(kind)
    group = version.rpartition("/")[0]
    if known is not None and known.refused is not None and group in (known.group, ""):
        return known
    return next((one for one in KINDS.values() if one.refused is not None and one.group == group), None)


def namespace_of(node: Node) -> str:
    """Return the namespace of an object, as far as it can be read: else that which stands for all."""
    top = node.value if isinstance(node.value, dict) else {}
    metadata = top.get("metadata")
    inner = metadata.value if metadata is not None else None
    if inner is not None and not isinstance(inner, dict):
        return ROOT_NAMESPACE
    written = inner.get("namespace") if inner is not None else None
    if written is None:
        return DEFAULT_NAMESPACE
    return written.text if _NAMESPACE.fullmatch(written.text) else ROOT_NAMESPACE


def policy_in(text: bytes) -> tuple[KnownKind, str, int] | None:
    """
    Return the kind of the policies that a text which is no YAML seems to hold, the one namespace that it names, else
    that which stands for all, and how many there are; None if there are none.
    """
    for known in KINDS.values():
        if known.refused is None:
            continue
        if count := len(re.findall(rb"\bkind[\"']?[ \t]*:[ \t]*[\"']?%b\b" % known.name.encode(), text)):
            named = {one.decode(errors="replace") for one in _NAMESPACES.findall(text)} or {DEFAULT_NAMESPACE}
            found = named.pop() if len(named) == 1 else ""
            return known, found if _NAMESPACE.fullmatch(found) else ROOT_NAMESPACE, count
    return None
