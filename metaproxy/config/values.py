"""
From plain data, as YAML has it, to sections of the model, with every check that a file gets; no text is made of it.

Lives here: `read_section`, and `Context`, what several sections of one source are read with. Does not: what refers to
other sections (`value_check`), translating what others call a cluster or a listener.

Values are taken as they are: neither `${VARIABLES}` nor `{runtime: NAME}` are replaced, for it is not the user who
wrote them.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import TypeVar

from metaproxy.config import model
from metaproxy.config.memo import Memo, digest, marks_of
from metaproxy.config.rules.every import RULES
from metaproxy.config.schema.load import MAX_DEPTH
from metaproxy.config.schema.nodes import MAX_PROBLEMS, Node, Problem
from metaproxy.config.schema.reading import BROKEN, Broken, Enough, Reading
from metaproxy.config.schema.registry import Plugins
from metaproxy.config.schema.shape import Nested, Section
from metaproxy.units import Secret

S = TypeVar("S", bound=Section)


@dataclass(frozen=True, slots=True)
class Context:
    """
    What sections of one source are read with.

    source: what errors call it, such as the name of an xDS server. plugins: those that there are; injected: what their
    constructors get besides their options. folder: where relative paths start. environ: the variables. secrets: what
    `{secret: NAME}` stands for. warnings: what is odd in the sections that were read, and works; the last ones. codecs:
    those that were built for a check already. memo: what was read before, which is not read again where it comes as it
    was: its section is then the same object.
    """

    source: str
    plugins: Plugins
    injected: Mapping[str, object]
    folder: Path = Path("/")
    environ: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    warnings: deque[Problem] = field(default_factory=lambda: deque(maxlen=MAX_PROBLEMS))
    codecs: dict[object, object] = field(default_factory=dict)
    memo: Memo = field(default_factory=Memo)


def read_section(kind: type[S], data: object, context: Context, path: str = "") -> tuple[S | None, list[Problem]]:
    """
    Return the section that plain data describe, or None and all that is wrong with it. Raises nothing.

    kind: such as `model.Cluster`. path: what the paths of problems begin with; that of its name by default, such as
    `clusters['demo']`. Names of other sections are not looked up here.
    """
    whole = digest(data)
    same = context.memo.same(kind, data, whole)
    if isinstance(same, kind):
        return same, []
    marks = marks_of(kind, data, whole)
    path = path or _path(kind, data)
    reading = Reading(
        context.source, context.folder, context.plugins, context.environ, context.injected, RULES, context.codecs
    )
    reading.give_secrets(context.secrets)
    section: S | Broken = BROKEN
    try:
        section = reading.read(Nested(kind), _tree(data, context.memo.routes(data, marks), reading))
    except ValueError as error:
        reading.problems.append(Problem(context.source, 0, 0, "", str(error)))
    except Enough:
        pass
    problems = [_within(path, problem) for problem in dict.fromkeys(reading.problems)]
    if problems or section is BROKEN:
        return None, problems
    context.warnings.extend(_within(path, problem) for problem in reading.warnings)
    context.memo.keep(marks, section)
    return section, []


def _tree(data: object, known: Mapping[int, model.Route], reading: Reading) -> Node:
    """The nodes of a section's data. known: routes that were read before, of which there is none but in their place."""
    routes = data.get("routes") if isinstance(data, Mapping) else None
    if not known or not isinstance(data, Mapping) or not isinstance(routes, list):
        return node_of(data)
    node = node_of({**data, "routes": [None if place in known else one for place, one in enumerate(routes)]})
    assert isinstance(node.value, dict)
    items = node.value["routes"].value
    assert isinstance(items, list)
    for place, route in known.items():
        reading.reuse(route, items[place])
    return node


def node_of(value: object, depth: int = 1) -> Node:
    """Return the tree of plain data. Raises ValueError for what no configuration can have."""
    if depth > MAX_DEPTH:
        raise ValueError(f"more than {MAX_DEPTH} levels of values within values")
    if isinstance(value, str):
        return Node(value, 0, 0, text=str(value))
    if isinstance(value, Mapping):
        children: dict[str, Node] = {}
        node = Node(children, 0, 0)
        for key, item in value.items():
            children[str(key)] = node_of(item, depth + 1).hang(node, str(key))
        return node
    if isinstance(value, (list, tuple)):
        items: list[Node] = []
        node = Node(items, 0, 0)
        items += (node_of(item, depth + 1).hang(node, place) for place, item in enumerate(value))
        return node
    return _single(value)


def _single(value: object) -> Node:
    if isinstance(value, bool) or value is None:
        return Node(value, 0, 0, text="" if value is None else str(value).lower())
    if isinstance(value, int) or (isinstance(value, float) and isfinite(value)):
        return Node(value, 0, 0, text=repr(value))
    if isinstance(value, Path):
        return Node(str(value), 0, 0, text=str(value))
    raise ValueError(f"{value!r:.100} is a {type(value).__name__}; write texts, numbers, flags, lists and mappings")


_LISTS = {"Listener": "listeners", "Cluster": "clusters", "Route": "routes", "Endpoint": "endpoints"}
"""Where a section stands that is one of a list."""


def _path(kind: type[Section], data: object) -> str:
    name = data.get("name", data.get("address")) if isinstance(data, Mapping) else None
    place = _LISTS.get(kind.__name__, "")
    return f"{place}[{name!r}]" if place and isinstance(name, str) else place or kind.__name__.lower()


_STEP = re.compile(r"\[|$")


def _within(path: str, problem: Problem) -> Problem:
    inner = problem.path
    return replace(problem, path=path + inner if _STEP.match(inner) else f"{path}.{inner}")
