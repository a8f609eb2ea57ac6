"""
What routes of several protocols of Envoy's have in common: subsets, the keys that are hashed.

Lives here: translators of these parts. Does not: conditions (`matching`), destinations (`metaprotocol`), routes (each
protocol's own module).
"""

from __future__ import annotations

from google.protobuf.json_format import MessageToDict

from metaproxy.envoy.fields import Fields, number
from metaproxy.envoy.tables import Plain

SUBSETS = "envoy.lb"
"""The name under which endpoints and routes have the metadata that subsets are made of."""


def subset_of(metadata: Fields | None) -> Plain:
    """`subset:` of a metadata_match, or `metadata:` of an endpoint: texts by their keys."""
    plain: Plain = {}
    for name, values in metadata.entries("filter_metadata").items() if metadata is not None else ():
        if name != SUBSETS:
            continue
        values.ignore("fields")
        for key, value in MessageToDict(values.message).items():
            text = _text(value)
            if text is None:
                values.report.unhonoured(f"{values.path}.{key}", "metaproxy compares texts, numbers and flags")
            else:
                plain[key] = text
    return plain


def _text(value: object) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    return str(number(value)) if isinstance(value, float) else None


def conditions(*matches: Plain) -> list[Plain]:
    """Several `match:` that must all hold, as one where no key is in two of them."""
    merged: Plain = {}
    left: list[Plain] = []
    for match in matches:
        if merged.keys() & match.keys():
            left.append(match)
        else:
            merged.update(match)
    return [merged, *left]
