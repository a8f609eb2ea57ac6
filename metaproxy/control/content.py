"""
All documents of a source together: what each group of nodes is to have in each version.

Lives here: `Content`, `Scope`, whom a document is for. Does not: reading documents (`documents`), which version a node
gets (`rollout`, `plan`).

Whom a document is for stands in its path. Below `versions/NAME/` it belongs to that version alone, and below
`groups/NAME/` to the nodes whose cluster is NAME; both in either order. All else is for everyone. Where two have a
resource of one name, the one of a version counts before the one of all, and that of a group before both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from google.protobuf.message import Message

from metaproxy.config.schema.load import Problem
from metaproxy.control.documents import Document
from metaproxy.control.nodes import Node
from metaproxy.control.resource_types import BY_URL
from metaproxy.control.snapshot import EMPTY, Snapshot, snapshot

VERSIONS, GROUPS = "versions", "groups"


class Scope(NamedTuple):
    """Whom documents are for; "" for every version, every group."""

    version: str = ""
    group: str = ""


def scope_of(path: str) -> Scope:
    """Return whom the document at a path is for."""
    found = {VERSIONS: "", GROUPS: ""}
    *folders, _ = path.split("/")
    for place, folder in enumerate(folders[:-1]):
        if folder in found and not found[folder]:
            found[folder] = folders[place + 1]
    return Scope(found[VERSIONS], found[GROUPS])


class Content:
    """
    documents: by path. problems: why they can't be served as they are; versions, groups: names that there are.

    before: the content that was served before: what is the same in both is neither encoded nor made again.
    """

    def __init__(self, documents: Mapping[str, Document], before: Content | None = None) -> None:
        self.problems: list[Problem] = []
        self.documents = documents
        self._before = before
        self._scopes: dict[Scope, list[Document]] = {}
        for path in sorted(documents):
            self._scopes.setdefault(scope_of(path), []).append(documents[path])
        self.versions = sorted({scope.version for scope in self._scopes} - {""})
        self.groups = sorted({scope.group for scope in self._scopes} - {""})
        self._snapshots: dict[Scope, Snapshot] = {}
        for document in documents.values():
            self.problems += document.problems
        self._check()

    def _check(self) -> None:
        for documents in self._scopes.values():
            seen: dict[tuple[str, str], str] = {}
            for document in documents:
                for url, found in document.resources.items():
                    for name in found:
                        other = seen.setdefault((url, name), document.path)
                        if other != document.path:
                            text = f"{BY_URL[url].name} {name!r} stands in {other}, too, for the same nodes"
                            self.problems.append(Problem(document.path, 1, 1, "", text))

    def snapshot(self, version: str, node: Node) -> Snapshot:
        """Return what a node is to have in a version; the same object for all nodes that get the same."""
        scope = Scope(version if version in self.versions else "", node.cluster if node.cluster in self.groups else "")
        found = self._snapshots.get(scope)
        if found is None:
            found = self._snapshots[scope] = self._made(scope)
        return found

    def _made(self, scope: Scope) -> Snapshot:
        before = self._before.known(scope) if self._before is not None else EMPTY
        made = snapshot(self._resources(scope), before)
        return before if made.version == before.version else made

    def known(self, scope: Scope) -> Snapshot:
        """Return a snapshot that was asked for; EMPTY for another one."""
        return self._snapshots.get(scope, EMPTY)

    def settle(self) -> None:
        """Forget the content before this one: streams that are to move have moved."""
        self._before = None

    def _resources(self, scope: Scope) -> Mapping[str, Mapping[str, Message]]:
        merged: dict[str, dict[str, Message]] = {}
        for document in self._documents(scope):
            for url, resources in document.resources.items():
                merged.setdefault(url, {}).update(resources)
        return merged

    def _documents(self, scope: Scope) -> Iterable[Document]:
        """Those for everyone first, as later ones count."""
        places = (Scope(), Scope(scope.version), Scope(group=scope.group), scope)
        for place in dict.fromkeys(places):
            yield from self._scopes.get(place, ())
