"""What an authorization service is asked."""

from __future__ import annotations

from metaproxy.filters.ext_authz.authorization import Asked

ASKED = Asked(
    source=("10.0.0.9", 4321),
    destination=("10.0.0.1", 20880),
    identity="spiffe://x/ann",
    id=7,
    protocol="dubbo",
    operation="org.example.Demo/say",
    size=120,
    started=1_700_000_000.25,
    metadata={"tenant": "t1", "odd": "\udcff"},
    context={"listener": "in", "route": "main"},
)
