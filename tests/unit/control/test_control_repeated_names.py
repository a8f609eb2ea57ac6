"""Names that a client repeats are known by their bytes, and nothing else of a request is lost."""

from __future__ import annotations

from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest
from hypothesis import given
from hypothesis import strategies as st

from metaproxy.control.repeated_names import FEW, MAX_BYTES, RepeatedNames
from metaproxy.control.resource_types import ENDPOINTS

MANY = [f"name{number}" for number in range(FEW)]


def request(
    names: list[str], version: str = "v1", nonce: str = "7", node: str = "", error: str = ""
) -> DiscoveryRequest:
    made = DiscoveryRequest(version_info=version, resource_names=names, type_url=ENDPOINTS.url, response_nonce=nonce)
    if node:
        made.node.id = node
    if error:
        made.error_detail.message = error
    return made


@given(st.text(max_size=200), st.text(max_size=3), st.text(max_size=200), st.text(max_size=3))
def test_a_request_is_split_into_its_names_and_the_rest_whatever_stands_around_them(
    version: str, nonce: str, node: str, error: str
) -> None:
    known = RepeatedNames()
    known.learn(request(MANY))
    rest, names = known.split(request(MANY, version, nonce, node, error).SerializeToString())
    assert names == frozenset(MANY)
    assert DiscoveryRequest.FromString(rest) == request([], version, nonce, node, error)


def test_the_same_list_is_the_same_object_for_all_clients() -> None:
    known = RepeatedNames()
    known.learn(request(MANY))
    first, second = (known.split(request(MANY, version).SerializeToString())[1] for version in ("a", "b"))
    assert first is second


def test_other_names_are_not_split() -> None:
    known = RepeatedNames()
    known.learn(request(MANY))
    for names in ([*MANY, "more"], MANY[1:], MANY[::-1], ["more", *MANY], []):
        data = request(names).SerializeToString()
        assert known.split(data) == (data, None)


def test_few_names_and_very_many_bytes_are_not_remembered() -> None:
    known = RepeatedNames()
    for names in (MANY[1:], ["x" * MAX_BYTES, *MANY]):
        known.learn(request(names))
        assert known.split(request(names).SerializeToString())[1] is None


@given(st.binary(max_size=60))
def test_whatever_bytes_come_none_is_lost(data: bytes) -> None:
    known = RepeatedNames()
    known.learn(request(MANY))
    assert known.split(data) == (data, None)


def test_a_list_is_forgotten_when_many_others_came_since() -> None:
    known = RepeatedNames()
    known.learn(request(MANY))
    for number in range(100):
        known.learn(request([*MANY, str(number)]))
    assert known.split(request(MANY).SerializeToString())[1] is None
