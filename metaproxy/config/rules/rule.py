"""
What a rule is: a function that looks at several keys of a section that was read, and reports what it finds.

Lives here: `Rules`, which collects those of one module; `all_of`. Does not: any rule.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from metaproxy.config.schema.reading import Reading, SectionRules

S = TypeVar("S")

Rule = Callable[[object, Reading], None]


class Rules:
    """The rules of one module, in their order."""

    def __init__(self) -> None:
        self.found: list[tuple[type, Rule]] = []

    def of(self, section: type[S]) -> Callable[[Callable[[S, Reading], None]], Callable[[S, Reading], None]]:
        """Has the function called with each section of this type that was read."""

        def add(function: Callable[[S, Reading], None]) -> Callable[[S, Reading], None]:
            def rule(value: object, reading: Reading) -> None:
                if isinstance(value, section):
                    function(value, reading)

            self.found.append((section, rule))
            return function

        return add


def all_of(*rules: Rules) -> SectionRules:
    """The rules of several modules by the section that they look at, in the order of the modules."""
    found: dict[type, list[Rule]] = {}
    for one in rules:
        for section, rule in one.found:
            found.setdefault(section, []).append(rule)
    return found
