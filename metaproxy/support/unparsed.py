"""
How often SQL was not understood, where somebody asked what it does.

Lives here: `UNPARSED`, of the whole process. Does not: who asks (`codecs.sql`), metrics.
"""

from __future__ import annotations

from collections import Counter

UNPARSED: Counter[tuple[str, str]] = Counter()
"""By dialect and the metadata key that could not be given: `read_only`, `tables`."""
