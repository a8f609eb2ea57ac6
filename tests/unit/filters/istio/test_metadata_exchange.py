from __future__ import annotations

from typing import Any

import pytest

from metaproxy.config.model import Node
from metaproxy.filters.istio import metadata_exchange
from metaproxy.filters.istio.metadata_exchange import MetadataExchange
from metaproxy.filters.istio.peer_metadata import ID_KEY, KEY, encode
from metaproxy.interfaces import IFilter
from metaproxy.plugins import Registry
from metaproxy.testing import FakeExchange, check_filter

NODE = Node(id="sidecar~10.0.0.1", metadata={"NAME": "n", "LABELS": {"app": "a"}})
TOLD = {KEY: encode(NODE.metadata), ID_KEY: "sidecar~10.0.0.1"}


class Changes(FakeExchange):
    def __init__(self) -> None:
        super().__init__()
        self.made: dict[str, str] = {}
        self.removed: list[str] = []

    def set(self, key: str, value: str) -> None:
        self.made[key] = value

    def remove(self, key: str) -> None:
        self.removed.append(key)


def both(**options: Any) -> tuple[Changes, Changes]:
    """What it does to a request, and to an answer."""
    made = MetadataExchange(NODE, **options)
    request, response = Changes(), Changes()
    made.on_request(request)
    made.on_response(response)
    return request, response


@pytest.mark.parametrize(
    ("direction", "in_request", "in_answer"),
    [("outbound", TOLD, {}), ("inbound", {}, TOLD), ("unspecified", {}, {})],
)
def test_who_asks_tells_in_the_request_and_who_is_asked_in_the_answer(
    direction: str, in_request: dict[str, str], in_answer: dict[str, str]
) -> None:
    request, response = both(direction=direction)
    assert (request.made, response.made) == (in_request, in_answer)
    assert not request.removed and not response.removed


def test_b26_the_application_need_not_see_what_the_other_side_told() -> None:
    request, response = both(direction="inbound", strip=True)
    assert (request.removed, response.removed) == ([KEY, ID_KEY], [])
    request, response = both(direction="outbound", strip=True)
    assert (request.removed, response.removed) == ([], [KEY, ID_KEY])


def test_b21_the_metadata_are_encoded_once_for_a_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[Any] = []
    monkeypatch.setattr(metadata_exchange, "encode", lambda metadata: (encoded.append(metadata), "text")[1])  # type: ignore[func-returns-value]
    made = MetadataExchange(NODE, "outbound")
    for _ in range(10):
        made.on_request(Changes())
    assert len(encoded) == 1


def test_it_keeps_the_contract_of_filters() -> None:
    registry = Registry()
    check_filter(registry.factory(IFilter, "metadata_exchange", {"direction": "inbound"}, {"node": NODE})())
    with pytest.raises(ValueError, match="sideways"):
        registry.factory(IFilter, "metadata_exchange", {"direction": "sideways"}, {"node": NODE})
