"""
ServiceEntry and WorkloadEntry of Istio: services, their ports, and the servers behind them.

Lives here: their keys and checks. Does not: which servers a service selects (`generator`).
"""

# ruff: noqa: RUF009 - `option` makes a dataclass field, as dataclasses.field does

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from metaproxy.config.rules.rule import Rules
from metaproxy.config.schema.numbers import Whole
from metaproxy.config.schema.reading import Reading
from metaproxy.config.schema.shape import ListOf, MapOf, option
from metaproxy.mesh.objects.struct import Spec, Struct
from metaproxy.mesh.objects.values import NAME, PORT, TEXT, Choice, Host, TextMap

RULES = Rules()

AERAKI = "metaprotocol"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicePort(Spec):
    """A port of a service."""

    number: int = option(PORT, "The port at which clients reach it.")
    name: str = option(NAME, "Picks the protocol: `tcp-metaprotocol-dubbo`, `tcp-redis` and the like.")
    protocol: str = option(TEXT, "Not read: the name picks the protocol.", "")
    target_port: int | None = option(PORT, "The port at which servers listen.", None, "the same")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadEntry(Spec):
    """A server."""

    UNUSED: ClassVar = ("network",)

    address: str = option(NAME, "Its address, or a name that is looked up.")
    ports: Mapping[str, int] = option(MapOf(PORT, "PORT NAME"), "Where it listens, by the name of the port.", {})
    labels: Mapping[str, str] = option(TextMap(), "What subsets and selectors look at.", {})
    locality: str = option(TEXT, "`region/zone/subzone`.", "")
    weight: int = option(Whole(0, 65536), "Its share of the requests; 0 counts as 1.", 1)
    service_account: str = option(TEXT, "Whose certificate it has.", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadSelector(Spec):
    """Which WorkloadEntries and Pods of the namespace are servers."""

    labels: Mapping[str, str] = option(TextMap(), "They have all of these.", {})


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceEntry(Spec):
    """A service."""

    UNUSED: ClassVar = ("subjectAltNames",)

    hosts: tuple[str, ...] = option(ListOf(Host(), 1), "Its names.")
    addresses: tuple[str, ...] = option(ListOf(NAME), "Addresses at which clients reach it.", ())
    ports: tuple[ServicePort, ...] = option(ListOf(Struct(ServicePort), 1), "Its ports.")
    location: str = option(Choice("MESH_EXTERNAL", "MESH_INTERNAL"), "Not read.", "MESH_EXTERNAL")
    resolution: str = option(
        Choice(
            "STATIC", "DNS", "DNS_ROUND_ROBIN", other={
                "NONE": "requests go where clients meant them to go; write STATIC or DNS with endpoints",
                "DYNAMIC_DNS": "write DNS with endpoints",
            },
        ),
        "How its servers are found: by address, or by looking up names.", "STATIC",
    )  # fmt: skip
    endpoints: tuple[WorkloadEntry, ...] = option(ListOf(Struct(WorkloadEntry)), "Its servers.", ())
    workload_selector: WorkloadSelector | None = option(
        Struct(WorkloadSelector), "Its servers, in the place of `endpoints`.", None
    )
    export_to: tuple[str, ...] = option(ListOf(NAME), "Namespaces that may call it; `.` its own.", (), "all")


@RULES.of(ServiceEntry)
def _entry(entry: ServiceEntry, reading: Reading) -> None:
    if entry.endpoints and entry.workload_selector is not None:
        reading.problem(reading.at(entry, "workload_selector"), "endpoints and workloadSelector exclude each other")
    for what, values in (("name", [port.name for port in entry.ports]), ("number", [p.number for p in entry.ports])):
        twice = [value for index, value in enumerate(values) if value in values[:index]]
        if twice:
            reading.problem(reading.at(entry, "ports"), f"two ports have the {what} {twice[0]}")


@RULES.of(WorkloadEntry)
def _workload(entry: WorkloadEntry, reading: Reading) -> None:
    if not entry.address.isprintable() or " " in entry.address:
        reading.problem(reading.at(entry, "address"), f"{entry.address!r} is neither an address nor a name")


@RULES.of(ServicePort)
def _port(port: ServicePort, reading: Reading) -> None:
    parts = port.name.split("-")
    if len(parts) == 2 and parts[1].lower() == AERAKI:
        reading.problem(
            reading.at(port, "name"), f"{port.name!r} names no protocol; write tcp-{AERAKI}-dubbo or another"
        )
