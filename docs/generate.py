"""
Writes the parts of the documentation that the code knows best: `make docs`.

Lives here: the tables of docs/reference/configuration.md, between `<!-- options: SECTION -->` and `<!-- end -->`, and
docs/reference/config.schema.json for editors, from metaproxy.config.model; the tables of plugins' options, between
`<!-- plugin: KIND NAME -->` and `<!-- end -->`, from their constructors; those of metrics.md and access-log.md, from
metaproxy.telemetry; those of control.md, from metaproxy.control; interfaces.md and messages.md, which `interface_pages`
makes; mesh.md, which `mesh_pages` makes; envoy.md, which `envoy_page` makes.
Tests check that all are up to date. Does not: any text that a person wrote; what stands outside of the
marks is left as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from metaproxy.config.model import Config
from metaproxy.config.schema.plugin_options import built_in_plugins, rows
from metaproxy.config.schema.reading import Kind, Schema
from metaproxy.config.schema.shape import Nested, Section, about, options
from metaproxy.control.rollout_spec import ReturnedSpec, RolloutSpec
from metaproxy.control.settings import Settings
from metaproxy.telemetry import reference

REFERENCE = Path(__file__).parent / "reference"
PAGE = REFERENCE / "configuration.md"
SCHEMA = REFERENCE / "config.schema.json"

PLUGINS = [PAGE, REFERENCE / "filters.md", REFERENCE / "balancers.md", *sorted((REFERENCE / "codecs").glob("*.md"))]
"""Where the options of plugins stand."""

CONTROL = (Settings, RolloutSpec, ReturnedSpec)
"""What stands in the files of a control plane: docs/reference/control.md."""

_PLUGIN = re.compile(r"(<!-- plugin: (\w+ \w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_MARKED = re.compile(r"(<!-- options: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def sections(section: type[Section] = Config) -> Iterator[type[Section]]:
    """A section and all that stand within it."""
    yield section
    for option in options(section).values():
        for kind in (option.kind, *getattr(option.kind, "others", ())):
            inner = _section(kind)
            if inner is not None:
                yield from sections(inner)


def _section(kind: Kind[object]) -> type[Section] | None:
    """The section that a kind reads, alone or as the items of a list or mapping."""
    inner: object = kind
    while not isinstance(inner, Nested):
        inner = getattr(inner, "kind", None)
        if inner is None:
            return None
    section: type[Section] = inner.section
    return section


def table(section: type[Section]) -> str:
    """The keys of a section."""
    rows = ["| key | value | default | |", "|---|---|---|---|"]
    for name, option in options(section).items():
        default = "required" if option.required else option.default or ("one of" if name in section.ONE_OF else "none")
        rows.append(f"| `{name}` | {option.kind.words()} | {default} | {option.about} |")
    notes = [about(section), "", *rows]
    if section.ONE_OF:
        keys = ", ".join(f"`{name}`" for name in section.ONE_OF)
        notes += ["", f"Exactly one of {keys} must be given."]
    if section.LATER:
        keys = ", ".join(f"`{name}`" for name in section.LATER)
        notes += ["", f"Known, and refused as this version does nothing with them: {keys}."]
    return "\n".join(notes) + "\n"


def page(text: str, *roots: type[Section]) -> str:
    """
    The page with its tables made again: of these sections and all within them, those of a configuration by default.
    Raises ValueError unless each section has exactly one place in it.
    """
    known = {section.__name__: section for root in roots or (Config,) for section in sections(root)}
    marked = [name for _, name, _ in _MARKED.findall(text)]
    if sorted(marked) != sorted(known):
        raise ValueError(f"marks for {', '.join(sorted(marked))}; sections are {', '.join(sorted(known))}")
    return _MARKED.sub(lambda match: f"{match[1]}{table(known[match[2]])}{match[3]}", text)


def plugin_tables() -> dict[str, str]:
    """KIND NAME -> the table of the options, of each built-in plugin that has some."""
    found = {}
    for kind, name, target in built_in_plugins():
        lines = [f"| `{row.name}` | {row.words} | {row.default} | {row.about} |" for row in rows(target)]
        if lines:
            head = ["| option | value | default | |", "|---|---|---|---|"]
            found[f"{kind} {name}"] = "\n".join([*head, *lines]) + "\n"
    return found


def plugin_page(text: str) -> str:
    """A page with the tables of the plugins that it has marks for."""
    tables = plugin_tables()
    return _PLUGIN.sub(lambda match: f"{match[1]}{tables[match[2]]}{match[3]}", text)


def schema() -> str:
    """What an editor checks a configuration against."""
    definitions: dict[str, Schema] = {}
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A configuration of metaproxy",
        **Nested(Config).schema(definitions),
        "$defs": definitions,
    }
    return json.dumps(whole, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    import envoy_page
    import interface_pages
    import mesh_pages

    envoy = REFERENCE / "envoy.md"
    envoy.write_text(envoy_page.page(envoy.read_text()))

    mesh = REFERENCE / "mesh.md"
    mesh.write_text(mesh_pages.page(mesh.read_text()))
    (REFERENCE / "interfaces.md").write_text(interface_pages.interfaces())
    (REFERENCE / "messages.md").write_text(interface_pages.messages())
    PAGE.write_text(page(PAGE.read_text()))
    for path in PLUGINS:
        path.write_text(plugin_page(path.read_text()))
    SCHEMA.write_text(schema())
    control = REFERENCE / "control.md"
    control.write_text(page(control.read_text(), *CONTROL))
    for name in ("metrics.md", "access-log.md"):
        other = REFERENCE / name
        other.write_text(reference.page(other.read_text()))
