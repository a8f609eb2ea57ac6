"""
What filters tell operators of an exchange that goes on.

Lives here: `note`. Does not: what clients are answered (a Reply's text).
"""

from __future__ import annotations

from metaproxy.interfaces import IExchange

MAX_NOTES = 1024
"""Characters that an exchange's details may have; what comes later is left out."""


def note(exchange: IExchange, text: str) -> None:
    """Adds to what the access log and the tap show of an exchange. text: words of the configuration, never a peer's."""
    before = exchange.details
    if before:
        text = f"{before}; {text}"
    if len(text) <= MAX_NOTES:
        exchange.details = text
