"""What pools and exchanges keep on a client."""

from __future__ import annotations

import pytest

from metaproxy.proxy.downstream import Downstream
from metaproxy.proxy.mirror_client import MirrorClient
from metaproxy.proxy.pool_client import AskingClient, PoolClient


@pytest.mark.parametrize("kind", [Downstream, MirrorClient])
def test_each_kind_of_client_is_one_to_pools(kind: type) -> None:
    assert issubclass(kind, PoolClient)


@pytest.mark.parametrize("kind", [Downstream, MirrorClient, AskingClient])
def test_a_client_has_the_attributes_that_it_names_and_no_others(kind: type) -> None:
    """There are as many as connections: a dict for each would take more than all that it holds."""
    assert kind.__dictoffset__ == 0
