"""Patterns that both RE2 and Python's `re` take match the same values."""

from __future__ import annotations

import re

from examples import examples
from hypothesis import assume, given
from hypothesis import strategies as st

from metaproxy.routing.pattern import compile_text

ALPHABET = "ab.1_\n\u00e4\udc80"

atoms = st.sampled_from(
    ["a", "b", ".", r"\.", r"\d", r"\w", r"\W", r"\S", "[ab]", "[^a]", "[a-c1]", r"\b", "^", "$", ""]
)


def repeated(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    repeat = st.sampled_from(["*", "+", "?", "{2}", "{0,2}", "{1,}", "*?", "+?"])
    groups = st.builds("({})".format, inner)
    return st.one_of(
        st.builds("{}{}".format, groups, repeat),
        st.builds("{}{}".format, inner, inner),
        st.builds("(?:{}|{})".format, inner, inner),
    )


patterns = st.recursive(atoms, repeated, max_leaves=8)


@examples(150)
@given(patterns, st.text(ALPHABET, max_size=8))
def test_both_engines_agree(pattern: str, value: str) -> None:
    try:
        theirs = re.compile(pattern, re.ASCII)
        ours = compile_text(pattern)
    except (re.error, ValueError):
        assume(False)
        raise
    # `$` of `re` also stands before a line break at the end, which no whole match can have behind it but with more.
    assume(not ("$" in pattern and value.endswith("\n")))
    assert ours(value) == (theirs.fullmatch(value) is not None)
