"""
Request ids: a UUID of version 4 in `x-request-id`, whose character 14 says to each proxy whether it is traced.

Lives here: making, reading and marking an id. Does not: deciding (`tracing`).

The scheme is Envoy's: all proxies of a request decide alike, as the first one has decided. Where another UUID has its
version, 4, stands the reason.
"""

from __future__ import annotations

KEY = "x-request-id"
LENGTH = 36
REASON = 14
"""Which character, from 0, is the reason."""

FRESH = "4"
"""Not traced."""
SAMPLED = "9"
FORCED = "a"
"""By `x-envoy-force-trace`."""
CLIENT = "b"
"""By `x-client-trace-id`."""
TRACED = frozenset((SAMPLED, FORCED, CLIENT))


def fresh(bits: int) -> str:
    """An id of 128 random bits."""
    digits = f"{bits:032x}"
    variant = "89ab"[(bits >> 60) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def reason(id: str) -> str:
    """FRESH for whatever is no id of this scheme."""
    return id[REASON] if len(id) == LENGTH else FRESH


def marked(id: str, reason: str) -> str:
    """The same id with another reason; 36 characters."""
    return f"{id[:REASON]}{reason}{id[REASON + 1 :]}"


def draw(id: str) -> int:
    """0 to 9999, the same wherever one looks at the id: what is below a share in 1/100 percent belongs to it."""
    return int(id[:8], 16) % 10000


def draw_of(bits: int) -> int:
    """The draw of `fresh(bits)`."""
    return (bits >> 96) % 10000
