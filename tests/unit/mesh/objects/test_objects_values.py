"""Single values of objects, as Kubernetes and Go write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from metaproxy.config.schema.nodes import Node
from metaproxy.config.schema.reading import Kind, Reading
from metaproxy.config.schema.registry import NoPlugins
from metaproxy.mesh.objects.values import Fqdn, GoDuration, Host, NumberOrName, PercentValue


def read(kind: Kind[object], value: object) -> object:
    assert isinstance(value, (str, int, float))
    return kind.read(Node(value, 0, 0, text=str(value)), Reading("x", Path(), NoPlugins(), {}, {}, {}))


@pytest.mark.parametrize(
    ("written", "seconds"), [("10s", 10), ("1h30m", 5400), ("0.5s", 0.5), ("100ms", 0.1), ("1m1.5s", 61.5)]
)
def test_durations_are_those_of_go(written: str, seconds: float) -> None:
    assert read(GoDuration(), written) == pytest.approx(seconds)


@pytest.mark.parametrize("written", ["10", "s", "-1s", "1 s", "1d", "1s" * 40, "9000h"])
def test_what_is_no_duration_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"duration|bounds"):
        read(GoDuration(), written)


@pytest.mark.parametrize("name", ["demo.shop.svc.cluster.local", "org.example.Demo", "a_b.c-d", "a.b."])
def test_names_are_fully_qualified(name: str) -> None:
    assert read(Fqdn(), name) == name


@pytest.mark.parametrize("name", ["*.b", "-a", "a..b", "a b", "", "a" * 254])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"name|text"):
        read(Fqdn(), name)


def test_a_host_may_begin_with_a_wildcard() -> None:
    assert [read(Host(), name) for name in ("*.b.c", "*", "a")] == ["*.b.c", "*", "a"]
    with pytest.raises(ValueError, match="host"):
        read(Host(), "a.*.b")


def test_a_port_is_a_number_or_a_name() -> None:
    assert [read(NumberOrName(), value) for value in (80, "http")] == [80, "http"]
    with pytest.raises(ValueError, match="bounds"):
        read(NumberOrName(), 0)


def test_a_percentage_has_fractions() -> None:
    assert read(PercentValue(), 0.5) == 0.5
    with pytest.raises(ValueError, match="percentage"):
        read(PercentValue(), 100.5)
