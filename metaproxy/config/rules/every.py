"""
All rules, by the section that they look at.

Lives here: `RULES`. Does not: any rule.
"""

from __future__ import annotations

from metaproxy.config.rules import (
    addresses,
    admin,
    certificates,
    cluster,
    crds,
    detection,
    fit,
    listener,
    nodes,
    process,
    secrets,
    telemetry,
    xds,
)
from metaproxy.config.rules.rule import all_of

RULES = all_of(
    secrets.RULES,
    admin.RULES,
    certificates.RULES,
    telemetry.RULES,
    listener.RULES,
    detection.RULES,
    nodes.RULES,
    cluster.RULES,
    addresses.RULES,
    fit.RULES,
    process.RULES,
    crds.RULES,
    xds.RULES,
)
