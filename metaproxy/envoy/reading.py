"""
Files as Envoy reads them: YAML or JSON in protobuf's mapping, to a message.

Lives here: `read_message`, `Places`, `is_bootstrap`. Does not: the mapping (`json_mapping`), what a message means.
"""

from __future__ import annotations

import re
from typing import TypeVar

from google.protobuf.message import Message

from metaproxy.config.schema.load import load_foreign
from metaproxy.config.schema.nodes import Node, Problem
from metaproxy.envoy.json_mapping import fill
from metaproxy.envoy.report import Finding, Report

M = TypeVar("M", bound=Message)

MARKS = ("static_resources", "dynamic_resources", "staticResources", "dynamicResources")
"""Keys at the top by which a file is known to be an Envoy bootstrap."""
_STEP = re.compile(r"\.?([\w-]+)|\[(\d+)\]|\[('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")\]")
_CAMEL = re.compile(r"_+(\w)")


def is_bootstrap(root: Node | None) -> bool:
    """Whether a file is an Envoy bootstrap."""
    return root is not None and isinstance(root.value, dict) and any(mark in root.value for mark in MARKS)


class Places:
    """Where in a file the paths of findings are. file: as errors call it; root: None where it could not be read."""

    def __init__(self, file: str, root: Node | None) -> None:
        self.file = file
        self._root = root

    def problem(self, finding: Finding) -> Problem:
        """A finding with its line and column: those of the deepest part of its path that the file has."""
        node = self.node(finding.path)
        line, column = (node.line, node.column) if node is not None else (1, 1)
        if node is not None and node.key_line and not isinstance(node.value, (dict, list)):
            line, column = node.key_line, node.key_column
        return Problem(self.file, line, column, finding.path, finding.text)

    def node(self, path: str) -> Node | None:
        """What the file has at a path, or the nearest that is around it."""
        node, at = self._root, 0
        while node is not None and at < len(path):
            step = _STEP.match(path, at)
            inner = _inner(node, step) if step is not None else None
            if step is None or inner is None:
                break
            node, at = inner, step.end()
        return node


def _inner(node: Node, step: re.Match[str]) -> Node | None:
    if step[2] is not None:
        if isinstance(node.value, list):
            place = int(step[2])
            return node.value[place] if place < len(node.value) else None
        return node if step[2] == "0" else None  # one alone, where a list is meant
    key = step[1] if step[1] is not None else step[3][1:-1]
    if not isinstance(node.value, dict):
        return None
    for spelling in (key, _CAMEL.sub(lambda match: match[1].upper(), key)):
        if spelling in node.value:
            return node.value[spelling]
    return None


def plain_of(node: Node) -> object:
    """What stands at a node, as plain values."""
    if isinstance(node.value, dict):
        return {key: plain_of(child) for key, child in node.value.items() if not child.broken}
    if isinstance(node.value, list):
        return [plain_of(child) for child in node.value if not child.broken]
    return node.value


def read_message(
    text: str | bytes, file: str, message: M, report: Report, path: str = ""
) -> tuple[M | None, Places, list[Problem]]:
    """
    The message that a text holds, where its parts stand, and what is wrong with the text; None when it can't be read.
    What is wrong with the message goes to the report; what is odd in the text, too.
    """
    root, problems, warnings = load_foreign(text, file)
    places = Places(file, root)
    for warning in warnings:
        report.warn(warning.path, warning.text)
    if root is None or problems:
        return None, places, problems
    fill(message, plain_of(root), path, report)
    return message, places, []
