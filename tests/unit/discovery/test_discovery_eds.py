from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pytest
from zope.interface.verify import verifyObject

from metaproxy.discovery.eds import Eds
from metaproxy.interfaces import IDiscovery
from metaproxy.testing import FakeReport

Update = Callable[[Sequence[Mapping[str, object]]], None]


class Servers:
    """Notes what is watched, and what ended."""

    def __init__(self) -> None:
        self.watched: list[tuple[str, str]] = []
        self.ended = 0
        self.update: Update | None = None

    def watch_endpoints(
        self, server: str, name: str, update: Update, failed: Callable[[str], None]
    ) -> Callable[[], None]:
        self.watched.append((server, name))
        self.update = update
        return self._end

    def _end(self) -> None:
        self.ended += 1


def test_it_watches_its_name_at_its_server_until_it_is_stopped() -> None:
    servers, report = Servers(), FakeReport()
    eds = Eds("demo", "istiod", servers)
    verifyObject(IDiscovery, eds)
    eds.start(report.update, report.failed)
    assert servers.watched == [("istiod", "demo")]
    assert servers.update is not None
    servers.update([{"address": "127.0.0.1:1"}])
    assert report.updates == [[{"address": "127.0.0.1:1"}]]
    eds.stop()
    eds.stop()
    assert servers.ended == 1


def test_without_servers_it_says_what_to_write() -> None:
    report = FakeReport()
    eds = Eds("demo")
    eds.start(report.update, report.failed)
    eds.stop()
    assert "write xds:" in report.failures[0]


def test_a_name_is_needed() -> None:
    with pytest.raises(ValueError, match="empty name"):
        Eds("")
