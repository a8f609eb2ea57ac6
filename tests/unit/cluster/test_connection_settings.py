from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metaproxy.cluster.connection_settings import ConnectionSettings
from metaproxy.cluster.endpoint import Endpoint


class Labelled:
    """TLS for endpoints that say so."""

    start = False

    def meant_for(self, metadata: Mapping[str, str]) -> bool:
        return metadata.get("tls") == "yes"


def test_tls_is_for_the_endpoints_that_it_is_meant_for() -> None:
    tls: Any = Labelled()
    settings = ConnectionSettings(tls=tls)
    assert settings.tls_for(Endpoint("127.0.0.1:1", metadata={"tls": "yes"})) is tls
    assert settings.tls_for(Endpoint("127.0.0.1:1")) is None
    assert ConnectionSettings().tls_for(Endpoint("127.0.0.1:1", metadata={"tls": "yes"})) is None
