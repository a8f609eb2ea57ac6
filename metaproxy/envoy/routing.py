"""
What routes of several protocols of Envoy's have in common: the endpoints that they want.

Lives here: `subset_of`. Does not: conditions (`matching`), destinations (`metaprotocol`), routes (each protocol's own
module).
"""

from __future__ import annotations

from metaproxy.envoy.fields import Fields, number
from metaproxy.envoy.tables import Plain

SOCKET_MATCH = "envoy.transport_socket_match"
"""The namespace of endpoints' metadata that `transport_socket_matches` look at."""
SUBSETS = "envoy.lb"
"""The namespace of the metadata that endpoints have and routes ask for."""


def subset_of(metadata: Fields | None) -> Plain:
    """`subset:` of a metadata_match, or `metadata:` of an endpoint: texts by their keys."""
    return {} if metadata is None else texts_of(metadata, SUBSETS)


def texts_of(metadata: Fields, namespace: str) -> Plain:
    """The values of one namespace of Metadata, as texts by their keys. Those of others are for others."""
    plain: Plain = {}
    metadata.ignore("typed_filter_metadata")
    for key, value in metadata.structs("filter_metadata").get(namespace, {}).items():
        text = _text(value)
        if text is None:
            path = f"{metadata.at('filter_metadata', namespace)}.{key}"
            metadata.report.unhonoured(path, "metaproxy compares texts, numbers and flags")
        else:
            plain[key] = text
    return plain


def _text(value: object) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    return str(number(value)) if isinstance(value, (int, float)) else value if isinstance(value, str) else None
