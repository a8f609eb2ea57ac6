"""
How many examples a property is tried with.

Lives here: `examples`: the number that a test asks for, times what the profile in force asks for more than the usual
one. Does not: the profiles, which tests/conftest.py registers; the other settings.
"""

from __future__ import annotations

from hypothesis import settings

USUAL = 25
"""Examples of a property that asks for no number, in `make test`."""
DEEP = 150
"""The same in `make properties`."""


def examples(number: int) -> settings:
    """Settings with so many examples in `make test`, and six times as many in `make properties`."""
    return settings(max_examples=number * settings().max_examples // USUAL)
