"""
Servers as registries have them: one form for all, and how it is read from the JSON of a registry's entry.

Lives here: `Instance`, bounds of its metadata, the forms of JSON that are common. Does not: any registry; what becomes
of the instances (`endpoint_list`).
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address
from types import MappingProxyType
from typing import NamedTuple

from metaproxy.support import addresses
from metaproxy.support.bounded_json import loads

MAX_KEYS, MAX_KEY, MAX_VALUE = 64, 256, 1024
"""Metadata of one instance, and characters of each. What is more is left out: a registry's entry is from its server."""
MAX_ENTRY = 64 << 10
"""Bytes of one entry."""
MAX_WEIGHT = 65536
_NONE: Mapping[str, str] = MappingProxyType({})


class Instance(NamedTuple):
    """One server. weight: 0 for none of the requests; healthy: as the registry says; priority: 0 is used first."""

    address: str
    weight: int = 1
    metadata: Mapping[str, str] = _NONE
    healthy: bool = True
    zone: str = ""
    priority: int = 0


def address_of(host: str, port: object) -> str:
    """`host:port`. A number as host is an address of version 4, as Java has it. Raises ValueError."""
    if host.isascii() and host.isdecimal() and len(host) <= 10 and int(host) < 1 << 32:
        host = str(IPv4Address(int(host)))
    return _checked(f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}")


def weight_of(value: object, default: int = 1) -> int:
    """A weight from a number or its text, within bounds; `default` for what is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return default
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return default
    if not number >= 0:  # nan is none of these
        return default
    return 0 if number == 0 else max(1, round(min(number, MAX_WEIGHT)))


def clean(text: str) -> str:
    """The text without halves of surrogate pairs, which JSON can write and nothing can be encoded with."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def metadata_of(found: object) -> dict[str, str]:
    """
    The texts, numbers and flags of a mapping whose keys are names, as many as are allowed; a flag is `true` or `false`.
    """
    if not isinstance(found, Mapping):
        return {}
    kept: dict[str, str] = {}
    for key, value in found.items():
        if isinstance(value, bool):
            value = "true" if value else "false"
        if not isinstance(value, (str, int, float)) or not isinstance(key, str):
            continue
        text = clean(str(value))
        if 0 < len(key) <= MAX_KEY and key.isprintable() and key == key.strip() and len(text) <= MAX_VALUE:
            kept[key] = text
            if len(kept) == MAX_KEYS:
                break
    return kept


# -- an entry's JSON


def read_entry(data: bytes, name: str = "") -> list[Instance]:
    """
    The servers that an entry stands for: `host:port`, or a JSON object with `address`, or `host` (`ip`) and `port`,
    and `weight`, `metadata`, `zone`, `priority` where they are known. Curator's and Dubbo's instances and Finagle's
    members are such objects, too. An entry without content is what its `name` says. Raises ValueError.
    """
    if len(data) > MAX_ENTRY:
        raise ValueError(f"{len(data)} bytes; allowed are {MAX_ENTRY}")
    text = data.decode("utf-8", "replace").strip()
    if not text.startswith("{"):
        return [Instance(_checked(text or name))]
    found = loads(text)
    assert isinstance(found, dict)
    if isinstance(found.get("serviceEndpoint"), dict):
        return _finagle(found)
    payload = found.get("payload")
    if isinstance(payload, dict) and "metadata" in payload:
        return _curator(found, payload)
    return [_plain(found, found.get("metadata") or found.get("Metadata"))]


def _checked(text: str) -> str:
    if len(text) > MAX_VALUE:
        raise ValueError("no address; write host:port, or an object in JSON")
    where = addresses.parse(text)
    if where.port == 0 or not where.is_host:  # no registry lists sockets of this machine
        raise ValueError(f"{text!r:.200} is not an address; write host:port or [v6]:port")
    return text


def _plain(found: Mapping[str, object], metadata: object) -> Instance:
    host = next((found[key] for key in ("address", "host", "ip", "Addr", "addr") if found.get(key)), None)
    if not isinstance(host, str):
        raise ValueError("no `address`, and no `host` and `port`")
    port = found.get("port")
    address = _checked(host) if port is None else address_of(host, port)
    zone, priority = found.get("zone"), found.get("priority")
    return Instance(
        address,
        weight_of(found.get("weight")),
        metadata_of(metadata),
        found.get("healthy") is not False and found.get("enabled") is not False,
        clean(zone)[:MAX_VALUE] if isinstance(zone, str) else "",
        min(priority, 127) if isinstance(priority, int) and priority > 0 else 0,
    )


def _finagle(found: Mapping[str, object]) -> list[Instance]:
    """What Finagle and Aurora announce; `status` is one of a few words."""
    place = found["serviceEndpoint"]
    assert isinstance(place, dict)
    metadata = {"shard": found["shard"]} if "shard" in found else {}
    one = _plain({"host": place.get("host"), "port": place.get("port")}, metadata)
    return [one._replace(healthy=found.get("status", "ALIVE") == "ALIVE")]


_DUBBO = "dubbo.endpoints"


def _curator(found: Mapping[str, object], payload: Mapping[str, object]) -> list[Instance]:
    """What Curator's service discovery writes, as Dubbo does: there one server may have a port for each protocol."""
    metadata = payload["metadata"]
    one = _plain(found, metadata)
    if not isinstance(metadata, dict):
        return [one]
    name = found.get("name")
    shared = {key: value for key, value in one.metadata.items() if key != _DUBBO}
    if isinstance(name, str):
        shared.setdefault("application", name[:MAX_VALUE])
    one = one._replace(metadata=shared, weight=weight_of(shared.get("weight")))
    ports = metadata.get(_DUBBO)
    listed = loads(ports) if isinstance(ports, str) else None
    if not isinstance(listed, list):
        return [one]
    host = found["address"]
    assert isinstance(host, str)
    return [
        one._replace(
            address=address_of(host, each.get("port")), metadata={**shared, "protocol": str(each.get("protocol"))[:64]}
        )
        for each in listed[:MAX_KEYS]
        if isinstance(each, dict)
    ]
