"""
Objects of a Kubernetes API server, and where they are found.

Lives here: `Resource`, `Key`, and reading parts of what a server says, which may be anything. Does not: asking for them
(`api`), what a kind means (its readers).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote

Object = Mapping[str, object]
"""An object as the server's JSON has it."""


class Key(NamedTuple):
    """What names an object of a kind. namespace: "" for kinds that belong to the whole cluster."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class Resource(NamedTuple):
    """A kind, where it is served. group: such as `discovery.k8s.io`, "" for the core's."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def label(self) -> str:
        """As `kubectl get` takes it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, key: Key, part: str = "") -> str:
        """Return the path of one object, or of all in a namespace ("" for every one) when the key has no name."""
        names = ["apis", self.group, self.version] if self.group else ["api", self.version]
        names += ["namespaces", key.namespace] if self.namespaced and key.namespace else []
        return "".join(f"/{quote(one, safe='')}" for one in (*names, self.plural, key.name, part) if one)


class Scope(NamedTuple):
    """Which objects of a kind. namespace: "" for all; labels, fields: selectors as the API has them, "" for all."""

    resource: Resource
    namespace: str = ""
    labels: str = ""
    fields: str = ""

    @property
    def path(self) -> str:
        return self.resource.path(Key(self.namespace, ""))

    @property
    def selectors(self) -> dict[str, str]:
        """The parameters of a request."""
        return {"labelSelector": self.labels, "fieldSelector": self.fields}


def mapping(value: object) -> Object:
    """Return what should be a mapping; an empty one in the place of anything else."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[object]:
    """Return what should be a list; an empty one in the place of anything else."""
    return value if isinstance(value, list) else []


def text(value: object) -> str:
    """Return what should be a text; "" in the place of anything else."""
    return value if isinstance(value, str) else ""


def key_of(found: Object) -> Key:
    """Return the key of an object; its name is "" when it has none, which no server sends."""
    metadata = mapping(found.get("metadata"))
    return Key(text(metadata.get("namespace")), text(metadata.get("name")))


def version_of(found: Object) -> str:
    """Return the resourceVersion of an object or a list."""
    return text(mapping(found.get("metadata")).get("resourceVersion"))
