"""
Conditions on what a message carries: HeaderMatcher and StringMatcher, as entries of our `match:`.

Lives here: `match_of`, `string_condition`. Does not: routes (`metaprotocol`, `routes`), what a condition means
(`routing.matcher`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from metaproxy.envoy.fields import Fields
from metaproxy.envoy.tables import Plain

_STRINGS = {"exact": "exact", "prefix": "prefix", "suffix": "suffix", "contains": "contains"}
_OLD = {"exact_match": "exact", "prefix_match": "prefix", "suffix_match": "suffix", "contains_match": "contains"}


def match_of(matchers: Iterable[Fields]) -> Plain:
    """
    All conditions together. Two on one key are written under two spellings of it: keys are compared without regard to
    case, and each must hold.
    """
    match: Plain = {}
    for matcher in matchers:
        name = matcher.text("name")
        condition = header_condition(matcher)
        spelling = next((one for one in _spellings(name) if one not in match), None)
        if not name:
            matcher.report.invalid(matcher.path, "name is missing")
        elif spelling is None:
            matcher.report.essential(matcher.path, f"more conditions on {name!r} than metaproxy can tell apart")
        elif condition is not None:
            match[spelling] = condition
    return match


def _spellings(name: str) -> Iterator[str]:
    yield name
    for place, letter in enumerate(name):
        if letter.swapcase().lower() == letter.lower() and letter.swapcase() != letter:
            yield name[:place] + letter.swapcase() + name[place + 1 :]


def header_condition(matcher: Fields) -> object | None:
    """What one HeaderMatcher asks of the value; None when that is reported."""
    which = matcher.which("header_match_specifier")
    invert = matcher.flag("invert_match")
    as_empty = matcher.flag("treat_missing_header_as_empty")
    condition = _compared(matcher, which)
    if condition is None:
        return None
    if invert:
        condition["not"] = True
    if as_empty and "present" not in condition:
        condition["default"] = ""
    return _short(condition)


def _compared(matcher: Fields, which: str | None) -> Plain | None:
    if which is None:
        return {"present": True}
    if which == "present_match":
        return {"present": matcher.flag("present_match")}
    if which == "range_match":
        bounds = matcher.message_at("range_match")
        assert bounds is not None
        start, end = bounds.whole("start"), bounds.whole("end")
        if start >= end:
            matcher.report.invalid(bounds.path, f"[{start}, {end}) holds no number; the end is not part of it")
            return None
        return {"range": [start, end]}
    if which == "safe_regex_match":
        regex = matcher.message_at("safe_regex_match")
        assert regex is not None
        return regex_condition(regex)
    if which == "string_match":
        inner = matcher.message_at("string_match")
        assert inner is not None
        return string_condition(inner)
    value = matcher.text(which)
    if which == "exact_match" and not value:
        return {"present": True}  # Envoy: an empty one holds for any value that is there
    return {_OLD[which]: value}


def string_condition(matcher: Fields) -> Plain | None:
    """What a StringMatcher asks, in its long form; None when that is reported."""
    which = matcher.which("match_pattern")
    ignore_case = matcher.flag("ignore_case")
    if which == "safe_regex":
        if ignore_case:
            matcher.invalid("ignore_case", "does not go with safe_regex; write (?i) before the pattern")
        regex = matcher.message_at("safe_regex")
        return None if regex is None else regex_condition(regex)
    if which not in _STRINGS:
        if which is None:
            matcher.report.invalid(matcher.path, "nothing to compare with; write exact, prefix, suffix or safe_regex")
        else:  # without this condition too much would match
            matcher.essential(which, "metaproxy compares texts by exact, prefix, suffix, contains and safe_regex")
        return None
    condition: Plain = {_STRINGS[which]: matcher.text(which)}
    if ignore_case:
        condition["ignore_case"] = True
    return condition


def regex_condition(matcher: Fields) -> Plain | None:
    """What a RegexMatcher asks: RE2 that matches the whole value."""
    matcher.ignore("google_re2")  # there is no other engine
    regex = matcher.text("regex")
    if not regex:
        matcher.report.invalid(matcher.path, "regex is missing")
        return None
    return {"regex": regex}


def _short(condition: Plain) -> object:
    return condition["exact"] if condition.keys() == {"exact"} else condition
