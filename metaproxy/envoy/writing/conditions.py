"""
Conditions of our routes as HeaderMatcher messages.

Lives here: `header_matcher`, `pattern_of`. Does not: which header a key is (`http`, `metaprotocol`).
"""

from __future__ import annotations

from collections.abc import Mapping

from metaproxy.envoy.http_matching import quoted
from metaproxy.envoy.writing.keys import Plain

_STRINGS = ("exact", "prefix", "suffix", "contains")


def long(condition: object) -> dict[str, object]:
    """A condition in its long form."""
    return dict(condition) if isinstance(condition, Mapping) else {"exact": str(condition)}


def header_matcher(name: str, condition: object, path: str, wrong: list[str]) -> Plain:
    """The HeaderMatcher of a condition; what can't be said is added to `wrong`."""
    given = long(condition)
    matcher: Plain = {"name": name}
    if given.get("not"):
        matcher["invert_match"] = True
    if "default" in given:
        if given["default"] != "":
            wrong.append(f"{path}.default: Envoy takes a missing header for an empty one, and for no other")
        matcher["treat_missing_header_as_empty"] = True
    if "present" in given:
        return {**matcher, "present_match": bool(given["present"])}
    if "range" in given:
        bounds = given["range"]
        start, end = (int(one) for one in bounds) if isinstance(bounds, (list, tuple)) else (0, 0)
        return {**matcher, "range_match": {"start": start, "end": end}}
    string = string_matcher(given, path, wrong)
    return {**matcher, "string_match": string} if string else matcher


def string_matcher(condition: Mapping[str, object], path: str, wrong: list[str]) -> Plain:
    """The StringMatcher of a condition."""
    for kind in _STRINGS:
        if kind in condition:
            plain: Plain = {kind: str(condition[kind])}
            if condition.get("ignore_case"):
                plain["ignore_case"] = True
            return plain
    pattern = pattern_of(condition)
    if pattern is None:
        kinds = ", ".join(key for key in condition if key not in ("not", "default"))
        wrong.append(f"{path}: Envoy's form has nothing for {kinds}")
        return {}
    return {"safe_regex": {"regex": pattern}}


def pattern_of(condition: Mapping[str, object]) -> str | None:
    """A condition as a pattern for the whole value; None where there is none."""
    flags = "(?i)" if condition.get("ignore_case") else ""
    if "exact" in condition:
        return flags + quoted(str(condition["exact"]))
    if "prefix" in condition:
        return f"{flags}{quoted(str(condition['prefix']))}.*"
    if "suffix" in condition:
        return f"{flags}.*{quoted(str(condition['suffix']))}"
    if "contains" in condition:
        return f"{flags}.*{quoted(str(condition['contains']))}.*"
    if "in" in condition and isinstance(condition["in"], (list, tuple)):
        return "|".join(quoted(str(one)) for one in condition["in"])
    return str(condition["regex"]) if "regex" in condition else None
