from __future__ import annotations

import json

import pytest

from metaproxy.discovery.instances import (
    MAX_ENTRY,
    MAX_KEYS,
    MAX_VALUE,
    Instance,
    address_of,
    metadata_of,
    read_entry,
    weight_of,
)


def entry(value: object) -> list[Instance]:
    return read_entry(json.dumps(value).encode())


def test_an_entry_may_be_an_address() -> None:
    assert read_entry(b" 10.0.0.7:80\n") == [Instance("10.0.0.7:80")]
    assert read_entry(b"[::1]:80") == [Instance("[::1]:80")]


def test_an_entry_without_content_is_what_its_name_says() -> None:
    assert read_entry(b"", "10.0.0.7:80") == [Instance("10.0.0.7:80")]


@pytest.mark.parametrize(
    "place", [{"address": "10.0.0.7:80"}, {"host": "10.0.0.7", "port": 80}, {"ip": "10.0.0.7", "port": "80"}]
)
def test_an_entry_may_be_an_object_with_weight_and_metadata(place: dict[str, object]) -> None:
    found = entry({**place, "weight": 3, "metadata": {"version": "v2", "old": False}, "zone": "b", "priority": 1})
    assert found == [Instance("10.0.0.7:80", 3, {"version": "v2", "old": "false"}, True, "b", 1)]


def test_an_object_may_say_that_its_server_is_not_to_be_used() -> None:
    assert not entry({"address": "a:1", "healthy": False})[0].healthy
    assert not entry({"address": "a:1", "enabled": False})[0].healthy


def test_curators_instances_are_read_with_their_payload() -> None:
    payload = {"@class": "x", "id": "1", "name": "shop", "metadata": {"version": "v2", "weight": "50"}}
    (found,) = entry({"name": "shop", "address": "10.0.0.7", "port": 20880, "sslPort": None, "payload": payload})
    assert found == Instance("10.0.0.7:20880", 50, {"version": "v2", "weight": "50", "application": "shop"})


def test_an_instance_of_dubbo_is_a_server_for_each_of_its_protocols() -> None:
    ports = json.dumps([{"port": 20880, "protocol": "dubbo"}, {"port": 50051, "protocol": "tri"}])
    payload = {"metadata": {"dubbo.endpoints": ports, "dubbo.metadata.revision": "8f"}}
    found = entry({"name": "shop", "address": "10.0.0.7", "port": 20880, "payload": payload})
    assert [(one.address, one.metadata["protocol"]) for one in found] == [
        ("10.0.0.7:20880", "dubbo"),
        ("10.0.0.7:50051", "tri"),
    ]
    assert found[0].metadata["application"] == "shop"
    assert "dubbo.endpoints" not in found[0].metadata


def test_finagles_members_are_read_with_their_status() -> None:
    (alive,) = entry(
        {"serviceEndpoint": {"host": "h", "port": 1}, "additionalEndpoints": {}, "status": "ALIVE", "shard": 3}
    )
    assert alive == Instance("h:1", 1, {"shard": "3"})
    (other,) = entry({"serviceEndpoint": {"host": "h", "port": 1}, "status": "STOPPING"})
    assert not other.healthy


@pytest.mark.parametrize(
    "data",
    [
        b"", b"nonsense", b"host:0", b"host:99999", b'{"a": 1}', b'{"host": "h"}', b'{"host": "h", "port": 0}',
        b'{"host": 5, "port": 1}', b'{"serviceEndpoint": {}}', b"{", b"x" * 2000, b'{"address":"h","port":{}}',
        b'{"address": "h:1", "metadata": ' + b"[" * 5000 + b"]" * 5000 + b"}", b" " * (MAX_ENTRY + 1),
        b'{"payload": {"metadata": {"dubbo.endpoints": "[{}]"}}, "address": "h", "port": 1}',
    ],
)  # fmt: skip
def test_what_is_no_server_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_entry(data)


def test_an_address_has_a_port_and_brackets_about_colons() -> None:
    assert address_of("::1", 80) == "[::1]:80"
    assert address_of("[::1]", "80") == "[::1]:80"
    assert address_of("2130706433", 80) == "127.0.0.1:80"
    with pytest.raises(ValueError, match="port"):
        address_of("h", 0)


@pytest.mark.parametrize(
    "value, weight",
    [(3, 3), ("3", 3), (0.4, 1), (0, 0), ("0", 0), (1e12, 65536), (-1, 7), ("x", 7), (None, 7), (True, 7), ("nan", 7),
     ("inf", 65536), ([], 7)],
)  # fmt: skip
def test_a_weight_is_a_whole_number_within_bounds(value: object, weight: int) -> None:
    assert weight_of(value, 7) == weight


def test_metadata_are_bounded() -> None:
    assert len(metadata_of({str(n): "x" for n in range(1000)})) == MAX_KEYS
    assert metadata_of({"long": "x" * (MAX_VALUE + 1), "k" * 300: "x", "list": [], "n": 5}) == {"n": "5"}
    assert metadata_of(["no", "mapping"]) == {}


def test_metadata_have_printable_keys_and_can_be_encoded() -> None:
    assert metadata_of({"": "x", "a\nb": "x", "half": "a\ud800b", "ok": "\u00e9\n"}) == {
        "half": "a?b",
        "ok": "\u00e9\n",
    }
