"""
The difference of two configurations, as the admin API shows it.

Lives here: `difference`. Does not: finding it (`config.difference`).
"""

from __future__ import annotations

from metaproxy.admin.roles import Difference, Names
from metaproxy.config import model
from metaproxy.config.difference import Changes, diff


def difference(old: model.Config, new: model.Config) -> Difference:
    """Return what applying `new` in the place of `old` would change."""
    found = diff(old, new)
    return {
        "listeners": _names(found.listeners),
        "clusters": _names(found.clusters),
        "sections": found.sections,
        "warnings": [str(warning) for warning in new.warnings],
    }


def _names(changes: Changes) -> Names:
    return {"added": changes.added, "changed": changes.changed, "removed": changes.removed}
