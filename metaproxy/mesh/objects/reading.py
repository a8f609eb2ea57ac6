"""
From texts and dicts to objects: what an object is called, what it says, and what is wrong with it.

Lives here: `Key`, `Object`, `Document`, `read_text` for files, `read_dict` for what an API server gave. Does not: which
version of an object holds (`metaproxy.mesh.store`), what its keys may be (`kinds`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import ClassVar, NamedTuple

from metaproxy.config.schema.load import load_documents
from metaproxy.config.schema.nodes import Node, Problem
from metaproxy.config.schema.reading import BROKEN, Enough, Reading, near
from metaproxy.config.schema.registry import NoPlugins
from metaproxy.config.schema.shape import option
from metaproxy.config.values import node_of
from metaproxy.mesh.objects.kinds import KINDS, RULES, KnownKind
from metaproxy.mesh.objects.struct import Spec, Struct
from metaproxy.mesh.objects.unread_policy import ROOT_NAMESPACE, namespace_of, policy_in, refused_kind
from metaproxy.mesh.objects.values import NAME, TextMap
from metaproxy.support.nearest_name import nearest_name

MAX_DOCUMENTS = 50_000
"""Objects of one file, those within lists included."""


class Key(NamedTuple):
    """Which object: its kind, namespace and name; '' as the namespace of objects that have none."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Object:
    """
    An object that was read and is right. place: where it stands, FILE:LINE or the name of its source; warnings: what is
    odd in it, and works.
    """

    key: Key
    spec: Spec
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    place: str = field(default="", compare=False)
    warnings: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Document:
    """
    What was found where an object should stand. key: None where it is not clear which object it is; problems: why it
    is refused; ignored: whether it is of a kind that is not read at all. Neither of both: `object` is there. version:
    what its source calls this version of it; instead: what holds in its place as long as no version of it was right.
    """

    key: Key | None
    place: str
    object: Object | None = None
    problems: tuple[str, ...] = ()
    ignored: bool = False
    version: str = ""
    instead: Object | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata(Spec):
    """What an object is called."""

    OPEN: ClassVar = True

    name: str = option(NAME, "Its name.")
    namespace: str = option(NAME, "Its namespace.", "default")
    labels: Mapping[str, str] = option(TextMap(), "Its labels.", {})
    annotations: Mapping[str, str] = option(TextMap(), "Its annotations.", {})


_METADATA = Struct(Metadata)
_API = ("apiVersion", "kind", "metadata", "spec", "status")


def read_text(text: str | bytes, file: str, above: int = 0) -> Iterator[Document]:
    """
    Read the objects of a file, documents and lists of them. above: lines of the file that stand above the text. Raises
    nothing, whatever the text.
    """
    roots, problems = load_documents(text, file, above)
    count = policies = 0
    for root in roots:
        for node in _items(root):
            count += 1
            if count > MAX_DOCUMENTS:
                yield _unread(file, node, f"more than {MAX_DOCUMENTS} objects in one file")
                return
            document = _read(node, file, f"{file}:{node.line}", _problems_of(node, problems))
            policies += _is_policy(document)
            yield document
    for problem in problems:
        if not problem.path:  # no YAML from here on
            place = f"{file}:{problem.line}"
            found = policy_in(text.encode(errors="replace") if isinstance(text, str) else text)
            instead = _instead(found[0], found[1], "", place) if found is not None and found[2] > policies else None
            yield Document(None, place, problems=(str(problem),), instead=instead)


def _is_policy(document: Document) -> bool:
    """Whether something holds, or would, in the place of an object of this kind."""
    key = document.key if document.key is not None else document.instead.key if document.instead is not None else None
    return key is not None and KINDS[key.kind].refused is not None


def _problems_of(node: Node, problems: list[Problem]) -> list[Problem]:
    """Return what was wrong with the YAML of a document: what has a path is a problem of the document it is in."""
    if not problems:
        return []
    last = _last_line(node)
    return [problem for problem in problems if problem.path and node.line <= problem.line <= last]


def _last_line(node: Node) -> int:
    line = max(node.line, node.key_line)
    children = node.value.values() if isinstance(node.value, dict) else node.value
    if isinstance(children, (str, int, float, type(None))):
        return line
    return max([line, *(_last_line(child) for child in children)])


def read_dict(data: Mapping[str, object], source: str) -> Document:
    """Read one object as an API server gives it. source: what problems call its place."""
    try:
        node = node_of(data)
    except ValueError as error:
        return Document(None, source, problems=(f"{source}: {error}",))
    return _read(node, source, source, [])


def _items(root: Node) -> Iterator[Node]:
    """Return the objects of a document: itself, or those of a `List`."""
    if isinstance(root.value, dict):
        kind, items = root.value.get("kind"), root.value.get("items")
        if kind is not None and kind.text.endswith("List") and items is not None and isinstance(items.value, list):
            for item in items.value:
                item.key = None  # paths begin at the object
                yield item
            return
    yield root


def _read(node: Node, file: str, place: str, found: list[Problem]) -> Document:
    if not isinstance(node.value, dict):
        return _unread(file, node, "no object; write apiVersion, kind, metadata and spec")
    kind = node.value.get("kind")
    if kind is None or not isinstance(kind.value, str):
        meant = refused_kind("", _api_version(node))
        return _unread(file, node, "kind is missing; write apiVersion, kind, metadata and spec", meant)
    reading = Reading(file, Path(), NoPlugins(), {}, {}, RULES)
    known = KINDS.get(kind.value)
    if known is None or not _is_of(known, node):
        return _unknown(node, kind.value, file, place)
    metadata = _metadata(node, known, reading)
    if metadata is None:
        instead = _instead(known, namespace_of(node), "", place)
        return Document(None, place, problems=tuple(_said(place, None, reading.problems)), instead=instead)
    key = Key(known.name, metadata.namespace if known.namespaced else "", metadata.name)
    spec = _spec(node, known, reading)
    wrong = [*found, *reading.problems]
    version = _version(node)
    if wrong or spec is None:
        instead = _instead(known, key.namespace, key.name, place)
        return Document(key, place, problems=tuple(_said(place, key, wrong)), version=version, instead=instead)
    warnings = tuple(_said(place, key, reading.warnings))
    made = Object(key, spec, metadata.labels, metadata.annotations, place, warnings)
    return Document(key, place, made, version=version)


def _instead(known: KnownKind, namespace: str, name: str, place: str) -> Object | None:
    """
    Return what holds in the place of an object that is refused, as long as no version of it was right. name: '' where
    that is not clear.
    """
    if known.refused is None:
        return None
    key = Key(known.name, namespace, name or f"unread-{blake2b(place.encode(), digest_size=4).hexdigest()}")
    where = "all namespaces" if namespace == ROOT_NAMESPACE else f"the namespace {namespace}"
    called = key if name else known.name
    text = f"{place}: {called}: it was never right, and denies all calls of services of {where} until it is"
    return Object(key, known.refused, place=place, warnings=(text,))


def _api_version(node: Node) -> str:
    assert isinstance(node.value, dict)
    version = node.value.get("apiVersion")
    return version.text if version is not None else ""


def _is_of(known: KnownKind, node: Node) -> bool:
    """Whether an object with the name of a known kind is of its API: other APIs have a Gateway or a Service, too."""
    return _api_version(node) in [f"{known.group}/{one}" if known.group else one for one in known.versions]


def _unknown(node: Node, kind: str, file: str, place: str) -> Document:
    """Return what to say of a kind that is not read: nothing where it is one of another API, else what was meant."""
    written = _api_version(node)
    groups = {known.group for known in KINDS.values() if known.group.endswith("aeraki.io")}
    known, meant = KINDS.get(kind), nearest_name(kind, KINDS, 0.8)
    refused = refused_kind(meant or kind, written)
    if known is not None and written.rpartition("/")[0] in (known.group, "") and (known.group or not written):
        want = " or ".join(f"{known.group}/{one}".lstrip("/") for one in known.versions)
        return _unread(file, node, f"{kind}: apiVersion {written!r} is not read; write {want}", refused)
    if written.rpartition("/")[0] in groups or (meant is not None and kind not in KINDS and not written):
        return _unread(file, node, f"no kind {kind!r} is read; {near(kind, KINDS, 'kind')}", refused)
    return Document(None, place, ignored=True)


def _metadata(node: Node, known: KnownKind, reading: Reading) -> Metadata | None:
    assert isinstance(node.value, dict)
    written = node.value.get("metadata")
    if written is None:
        reading.problem(node, "metadata is missing; write metadata: {name: NAME, namespace: NAMESPACE}")
        return None
    metadata = reading.read(_METADATA, written)
    return None if metadata is BROKEN else metadata


def _spec(node: Node, known: KnownKind, reading: Reading) -> Spec | None:
    """Read an object's own keys. None when they can't be read, with the reason in `reading`."""
    assert isinstance(node.value, dict)
    if known.at:
        for key, child in node.value.items():
            if key not in _API:
                reading.problem(child, f"unknown field {key!r}; {near(key, _API, 'field')}", key=True)
        inner = node.value.get(known.at)
        if inner is None:
            reading.problem(node, f"{known.at} is missing")
            return None
    else:
        inner = node
    try:
        spec = reading.read(Struct(known.spec), inner)
    except Enough:
        return None
    return None if spec is BROKEN else spec


def _version(node: Node) -> str:
    """Return `resourceVersion`, which an API server gives each version of an object."""
    metadata = node.value.get("metadata") if isinstance(node.value, dict) else None
    version = metadata.value.get("resourceVersion") if metadata and isinstance(metadata.value, dict) else None
    return version.text if version is not None else ""


def _unread(file: str, node: Node, text: str, known: KnownKind | None = None) -> Document:
    """known: of which kind it must have been, if something holds in its place."""
    place = f"{file}:{node.line}" if node.line else file
    instead = _instead(known, namespace_of(node), "", place) if known is not None else None
    return Document(None, place, problems=(f"{place}: {text}",), instead=instead)


def _said(place: str, key: Key | None, problems: list[Problem]) -> Iterator[str]:
    """Return a line for each problem: FILE:LINE: KIND NAMESPACE/NAME: PATH: TEXT."""
    name = f"{key}: " if key is not None else ""
    for problem in sorted(problems):
        where = f"{problem.file}:{problem.line}" if problem.line else place
        path = f"{problem.path}: " if problem.path else ""
        yield f"{where}: {name}{path}{problem.text}"
