"""
An Envoy bootstrap as a file in our own form, and the other way round.

Lives here: `convert`, `to_envoy`, `as_yaml`. Does not: translating (`bootstrap`, `writing`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import yaml

from metaproxy.config.check import check
from metaproxy.config.schema.nodes import Problem, resolve
from metaproxy.envoy.bootstrap import read_bootstrap
from metaproxy.envoy.memory_files import FOLDER
from metaproxy.envoy.writing.bootstrap import write_bootstrap
from metaproxy.plugins import Registry

_WIDTH = 118


class Converted(NamedTuple):
    """text: the file in our own form, None when it can't be made; problems: why; warnings: what is odd."""

    text: str | None
    problems: list[Problem]
    warnings: list[Problem]


def convert(given: str | bytes, filename: str, lenient: bool = False) -> Converted:
    """A bootstrap as a file in our own form. lenient: what can't be honoured is a warning, and left out."""
    found = read_bootstrap(given, filename, lenient)
    if found is None:
        text = "no static_resources and no dynamic_resources; this is no Envoy bootstrap"
        return Converted(None, [Problem(filename, 1, 1, "", text)], [])
    if found.whole is None:
        return Converted(None, found.problems, [])
    problems = [
        Problem(
            filename, 1, 1, path, "comes from bytes within the bootstrap; write them to a file, and name that there"
        )
        for path in _in_memory(found.whole.plain, "")
    ]
    if problems:
        return Converted(None, problems, [])
    return Converted(as_yaml(found.whole.plain), [], found.warnings)


def to_envoy(given: str | bytes, filename: str, registry: Registry, lenient: bool = False) -> Converted:
    """A file in our own form as an Envoy bootstrap. lenient: what can't be said in it is a warning, and left out."""
    config, problems = check(given, filename, registry)
    if config is None:
        return Converted(None, problems, [])
    plain, wrong = write_bootstrap(config)
    lines = [Problem(filename, 0, 0, "", line) for line in wrong]
    if wrong and not lenient:
        return Converted(None, lines, [])
    text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=_WIDTH)
    return Converted(text, [], [*config.warnings, *lines])


def _in_memory(value: object, path: str) -> Iterator[str]:
    """Where files are named that this process alone has."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _in_memory(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, (list, tuple)):
        for place, item in enumerate(value):
            yield from _in_memory(item, f"{path}[{place}]")
    elif isinstance(value, str) and value.startswith(FOLDER):
        yield path


def as_yaml(plain: object) -> str:
    """Plain data as a file of ours has them."""
    return yaml.dump(plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH, default_flow_style=None)


class _Dumper(yaml.SafeDumper):
    """Writes texts so that our own reader takes them for the same texts; each list and mapping in full."""

    def ignore_aliases(self, data: object) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    escaped = value.replace("${", "$${")
    quoted = resolve(value) != value or not isinstance(resolve(value), str)
    return dumper.represent_scalar("tag:yaml.org,2002:str", escaped, style='"' if quoted else None)


_Dumper.add_representer(str, _text)
