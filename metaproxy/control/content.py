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
from metaproxy.control.mesh_objects import Mesh
from metaproxy.control.nodes import Node
from metaproxy.control.resource_types import BY_URL
from metaproxy.control.snapshot import EMPTY, Messages, Snapshot, snapshot

VERSIONS, GROUPS = "versions", "groups"


class Scope(NamedTuple):
    """Whom documents are for; "" for every version, every group."""

    version: str = ""
    group: str = ""

    def meets(self, other: Scope) -> bool:
        """Whether there are nodes that both are for."""
        return all(not one or not two or one == two for one, two in zip(self, other, strict=True))


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

    before: the content that was served before: what is the same in both is neither encoded nor made again. strict:
    whether an object of a mesh that is wrong is a problem; else the version of it before holds.
    """

    def __init__(self, documents: Mapping[str, Document], before: Content | None = None, strict: bool = True) -> None:
        self.problems: list[Problem] = []
        self.documents = documents
        self._before = before
        self._scopes: dict[Scope, list[Document]] = {}
        for path in sorted(documents):
            self._scopes.setdefault(scope_of(path), []).append(documents[path])
        self.versions = sorted({scope.version for scope in self._scopes} - {""})
        self.groups = sorted({scope.group for scope in self._scopes} - {""})
        self._snapshots: dict[object, Snapshot] = {}
        self._meshes: dict[Scope, Mesh] = {}
        for document in documents.values():
            self.problems += [*document.problems, *(document.wrong_objects if strict else ())]
        self._check()
        self._check_objects()

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

    def _check_objects(self) -> None:
        """An object that stands in two places for one node: which of them counts would be anyone's guess."""
        seen: dict[object, list[tuple[Scope, str]]] = {}
        for scope, documents in self._scopes.items():
            for document in documents:
                for found in document.objects:
                    if found.object is None:
                        continue
                    places = seen.setdefault(found.object.key, [])
                    other = next((path for where, path in places if where.meets(scope)), None)
                    if other is not None:
                        text = f"{found.object.key} stands in {other}, too, for the same nodes"
                        self.problems.append(Problem(document.path, 1, 1, "", text))
                    places.append((scope, document.path))

    def snapshot(self, version: str, node: Node) -> Snapshot:
        """Return what a node is to have in a version; the same object for all nodes that get the same."""
        scope = Scope(version if version in self.versions else "", node.cluster if node.cluster in self.groups else "")
        mesh = self._mesh(scope)
        key = scope, mesh.key(node)
        found = self._snapshots.get(key)
        if found is None:
            found = self._snapshots[key] = self._made(scope, mesh, node, key)
        return found

    def _made(self, scope: Scope, mesh: Mesh, node: Node, key: object) -> Snapshot:
        before = self._before.known(key) if self._before is not None else EMPTY
        made = snapshot(_together(mesh.resources(node), self._resources(scope)), before)
        return before if made.version == before.version else made

    def known(self, key: object) -> Snapshot:
        """Return a snapshot that was asked for; EMPTY for another one."""
        return self._snapshots.get(key, EMPTY)

    def _mesh(self, scope: Scope) -> Mesh:
        """Return the objects for a scope: those of the content before, brought to what is in this one."""
        found = self._meshes.get(scope)
        if found is None:
            found = self._before.mesh_before(scope) if self._before is not None else None
            found = self._meshes[scope] = found or Mesh()
            found.fill(self._documents(scope))
        return found

    def mesh_before(self, scope: Scope) -> Mesh | None:
        """Give up the objects for a scope to the content that follows."""
        return self._meshes.pop(scope, None)

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


def _together(generated: Messages, written: Messages) -> Messages:
    """Return both; what is written counts before what is generated."""
    if not generated:
        return written
    return {url: {**generated.get(url, {}), **written.get(url, {})} for url in {**generated, **written}}
