"""
Writes the tables of reference/mesh.md: every key of every object of a mesh that is read, from metaproxy.mesh.objects.

Lives here: `page`. Does not: the text around them, which a person wrote; other pages (`generate`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from metaproxy.config.schema.reading import Kind
from metaproxy.config.schema.shape import Nested, Section, about, options
from metaproxy.mesh.objects.kinds import KINDS
from metaproxy.mesh.objects.struct import Spec, key_of

_MARKED = re.compile(r"(<!-- objects -->\n).*?(<!-- end -->)", re.DOTALL)


def page(text: str) -> str:
    """The page with its tables made again."""
    return _MARKED.sub(lambda match: f"{match[1]}{objects()}{match[2]}", text)


def objects() -> str:
    """A chapter for each kind, with the tables of all that stands in it; what two kinds share is in the first."""
    seen: set[type[Section]] = set()
    lines: list[str] = []
    for kind in KINDS.values():
        api = " or ".join(f"`{kind.group}/{version}`".replace("`/", "`") for version in kind.versions)
        lines += [f"## {kind.name}", "", f"{api}. {about(kind.spec)}", "", *_table(kind.spec)]
        seen.add(kind.spec)
        for inner in _within(kind.spec):
            if inner not in seen:
                seen.add(inner)
                lines += [f"### {inner.__name__}", "", about(inner), "", *_table(inner)]
    return "\n".join(lines) + "\n"


def _within(section: type[Section]) -> Iterator[type[Section]]:
    for option in options(section).values():
        inner = _section(option.kind)
        if inner is not None:
            yield inner
            yield from _within(inner)


def _section(kind: Kind[object]) -> type[Section] | None:
    inner: object = kind
    while not isinstance(inner, Nested):
        inner = getattr(inner, "kind", None)
        if inner is None:
            return None
    section: type[Section] = inner.section
    return section


def _table(section: type[Section]) -> list[str]:
    rows = ["| key | value | default | |", "|---|---|---|---|"]
    for name, option in options(section).items():
        default = "required" if option.required else option.default or ("one of" if name in section.ONE_OF else "none")
        rows.append(f"| `{key_of(section, name)}` | {option.kind.words()} | {default} | {option.about} |")
    if issubclass(section, Spec) and section.UNUSED:
        keys = ", ".join(f"`{key}`" for key in section.UNUSED)
        rows += ["", f"Without effect, and warned of: {keys}."]
    return [*rows, ""]
