"""
Texts of a source as what they hold: Envoy's resources, objects of a mesh, listeners and clusters of our own, rollouts.

Lives here: `Document`, `read_documents`. Does not: where texts come from (`sources`), whom a document is for (`scope`),
what a rollout's keys mean (`rollout`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from google.protobuf.message import Message

from metaproxy.config.schema.load import load_documents
from metaproxy.config.schema.nodes import Node, Problem
from metaproxy.control.carried import carried_cluster, carried_listener
from metaproxy.control.resource_types import BY_URL, CLUSTERS, ENDPOINTS, LISTENERS, PREFIX, ResourceType
from metaproxy.envoy.json_mapping import fill
from metaproxy.envoy.message_types import message_class
from metaproxy.envoy.reading import MARKS, Places, plain_of
from metaproxy.envoy.report import Report
from metaproxy.mesh.objects.reading import Document as MeshDocument
from metaproxy.mesh.objects.reading import read_dict
from metaproxy.support.nearest_name import did_you_mean

TYPE = "@type"
FORMS = (
    "`resources: [{'@type': ...}]` as in a file of Envoy's, one resource with `@type`, `listeners:` and `clusters:` of "
    "metaproxy's own, an object with `apiVersion` and `kind`, or `rollout:`"
)
"""What a document may be, for errors."""
_TOPS = ("resources", "listeners", "clusters", "rollout", "apiVersion", "kind", TYPE)


@dataclass(slots=True)
class Document:
    """
    What one text holds. resources: messages by type URL and name; objects: of a mesh, wrong_objects: what is wrong with
    them; rollout, returned: what stands there, None for nothing; problems: what else is wrong; warnings: what is odd.
    """

    path: str
    resources: dict[str, dict[str, Message]] = field(default_factory=dict)
    objects: list[MeshDocument] = field(default_factory=list)
    wrong_objects: list[Problem] = field(default_factory=list)
    rollout: object = None
    returned: object = None
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def read_document(path: str, text: bytes) -> Document:
    """Return what a text holds. Raises nothing, whatever the text."""
    document = Document(path)
    roots, problems = load_documents(text, path)
    document.problems += problems
    for root in roots:
        _Reader(document, root).read()
    return document


class _Reader:
    """Reads one of the documents of a text."""

    def __init__(self, document: Document, root: Node) -> None:
        self._document = document
        self._root = root
        self._places = Places(document.path, root)

    def read(self) -> None:
        top = self._root.value
        if not isinstance(top, dict):
            self._problem(self._root, f"not a mapping; write {FORMS}")
        elif "apiVersion" in top or "kind" in top:
            self._object(self._root, top)
        elif TYPE in top:
            self._envoy(self._root, "")
        elif any(mark in top for mark in MARKS):
            self._bootstrap(top)
        else:
            self._ours(top)

    def _object(self, node: Node, top: Mapping[str, Node]) -> None:
        """An object of a mesh, or a list of them."""
        items = top.get("items")
        if items is not None and isinstance(items.value, list):
            for item in items.value:
                self._object(item, {})
            return
        plain = plain_of(node)
        place = f"{self._document.path}:{node.line}"
        found = read_dict(plain if isinstance(plain, dict) else {}, place)
        self._document.objects.append(found)
        self._document.wrong_objects += [
            Problem(self._document.path, node.line, node.column, "", _without(place, text)) for text in found.problems
        ]

    def _ours(self, top: Mapping[str, Node]) -> None:
        readers: Mapping[str, Callable[[Node], None]] = {
            "resources": self._resources,
            "listeners": lambda node: self._sections(node, LISTENERS, carried_listener),
            "clusters": lambda node: self._sections(node, CLUSTERS, carried_cluster),
            "rollout": self._rollout,
            "returned": self._returned,
        }
        for key, node in top.items():
            reader = readers.get(key)
            if reader is None:
                self._problem(node, f"unknown key {key!r}; {did_you_mean(key, _TOPS, f'write {FORMS}')}", key=True)
            else:
                reader(node)

    def _rollout(self, node: Node) -> None:
        if self._document.rollout is not None:
            self._problem(node, "a second rollout in this file; write one", key=True)
        self._document.rollout = plain_of(node)

    def _returned(self, node: Node) -> None:
        self._document.returned = plain_of(node)

    def _sections(self, node: Node, kind: ResourceType, carry: Callable[[str, Mapping[str, object]], Message]) -> None:
        for item in self._items(node):
            plain = plain_of(item)
            name = plain.get("name") if isinstance(plain, dict) else None
            if not isinstance(plain, dict) or not isinstance(name, str) or not name:
                self._problem(item, "name is missing: proxies know it by its name")
            else:
                self._add(kind, name, carry(name, plain), item)

    def _resources(self, node: Node) -> None:
        for place, item in enumerate(self._items(node)):
            self._envoy(item, f"resources[{place}]")

    def _envoy(self, node: Node, path: str) -> None:
        """One resource, which says its type; wrapped as in delta's responses, too."""
        plain = plain_of(node)
        if not isinstance(plain, dict) or not isinstance(plain.get(TYPE), str):
            self._problem(node, f"{TYPE} is missing, such as {LISTENERS.url}")
            return
        url = str(plain.pop(TYPE))
        kind = BY_URL.get(f"{PREFIX}{url.rpartition('/')[2]}")
        if kind is None:
            self._problem(node, f"no resources of the type {url}; {did_you_mean(url, list(BY_URL), _known())}")
            return
        self._message(kind, plain, path, node)

    def _bootstrap(self, top: Mapping[str, Node]) -> None:
        """Envoy's static resources, to be served to many; all else of a bootstrap is its own process's."""
        static = top.get("static_resources") or top.get("staticResources")
        for key, node in top.items():
            if node is not static:
                self._document.warnings.append(f"{self._document.path}:{node.key_line}: {key} is not served")
        if static is None or not isinstance(static.value, dict):
            return
        for key, kind in (("listeners", LISTENERS), ("clusters", CLUSTERS)):
            if key not in static.value:
                continue
            for place, item in enumerate(self._items(static.value[key])):
                plain = plain_of(item)
                if isinstance(plain, dict):
                    self._message(kind, plain, f"static_resources.{key}[{place}]", item)

    def _message(self, kind: ResourceType, plain: Mapping[str, object], path: str, node: Node) -> None:
        found = message_class(kind.message)
        assert found is not None
        message, report = found(), Report()
        fill(message, plain, path, report)
        self._document.problems += [self._places.problem(one) for one in report.errors]
        self._document.warnings += [str(self._places.problem(one)) for one in report.warnings]
        name = name_of(kind, message)
        if name:
            self._add(kind, name, message, node)
        elif not report.errors:
            self._problem(node, "name is missing: clients ask for it by its name")

    def _add(self, kind: ResourceType, name: str, message: Message, node: Node) -> None:
        known = self._document.resources.setdefault(kind.url, {})
        if name in known:
            self._problem(node, f"a second one of {kind.name} with the name {name!r}")
        known[name] = message

    def _items(self, node: Node) -> Iterable[Node]:
        if isinstance(node.value, list):
            return node.value
        self._problem(node, "write a list")
        return ()

    def _problem(self, node: Node, text: str, key: bool = False) -> None:
        line, column = (node.key_line, node.key_column) if key and node.key_line else (node.line, node.column)
        self._document.problems.append(Problem(self._document.path, line, column, node.path, text))


def name_of(kind: ResourceType, message: Message) -> str:
    """Return the name by which clients ask for a resource."""
    return str(getattr(message, "cluster_name" if kind is ENDPOINTS else "name"))


def _known() -> str:
    return f"there are {', '.join(BY_URL)}"


def _without(place: str, text: str) -> str:
    """Return a problem's text without the place, which is said anyway."""
    return text.removeprefix(place).lstrip(": ")
