"""check_codec finds nearly all of many mistakes that were put into four codecs."""

from __future__ import annotations

from examples import DEEP
from hypothesis import settings
from kit_mutants import FAMILIES, caught

SHARE = 0.95
"""Of the mistakes that must be found. Those that are not known to be ones by anything but the protocol can't be."""
SAMPLE = 5
"""Of so many mistakes `make test` puts in one; `make properties` puts in all."""


def test_nearly_all_seeded_mistakes_are_found_and_none_hangs_a_check() -> None:
    every = [(name, mutant) for name, family in FAMILIES.items() for mutant in family.mutants()]
    assert len(every) >= 200
    tried = every[:: 1 if settings().max_examples >= DEEP else SAMPLE]
    missed = [f"{name}: {mutant}" for name, mutant in tried if not caught(FAMILIES[name], mutant)]
    share = 1 - len(missed) / len(tried)
    assert share >= SHARE, f"{share:.1%} of {len(tried)}; missed are: " + "; ".join(missed)
