"""Where nodes are asked for their counters."""

from __future__ import annotations

import pytest

from metaproxy.control.nodes import Node
from metaproxy.control.scraping import NotThere, admin_of


def node(admin: object, peer: str = "10.0.0.7") -> Node:
    return Node("n", metadata={} if admin is None else {"admin": admin}, peer=peer)


@pytest.mark.parametrize(
    ("admin", "peer", "where"),
    [
        (9901.0, "10.0.0.7", "10.0.0.7:9901"),
        ("9901", "10.0.0.7", "10.0.0.7:9901"),
        ("10.0.0.7:9901", "10.0.0.7", "10.0.0.7:9901"),
        (9901, "::1", "[::1]:9901"),
    ],
)
def test_a_port_is_one_of_the_host_that_the_stream_comes_from(admin: object, peer: str, where: str) -> None:
    assert admin_of(node(admin, peer), False) == where


def test_another_host_is_asked_only_where_that_is_allowed() -> None:
    with pytest.raises(NotThere, match=r"10\.0\.0\.8"):
        admin_of(node("10.0.0.8:9901"), False)
    assert admin_of(node("10.0.0.8:9901"), True) == "10.0.0.8:9901"


@pytest.mark.parametrize(("admin", "peer"), [(None, "10.0.0.7"), ("x", "10.0.0.7"), (9901, "")])
def test_a_node_without_an_address_is_named_with_what_to_write(admin: object, peer: str) -> None:
    with pytest.raises(NotThere):
        admin_of(node(admin, peer), False)
