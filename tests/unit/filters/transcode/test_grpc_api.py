"""Where the descriptors of an API come from, and what a request means in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from transcoding import descriptor_set
from twisted.internet.task import Clock

from metaproxy.filters.transcode.answers import Refused
from metaproxy.filters.transcode.grpc_api import Grpc, Reflected
from metaproxy.plugins import OptionError


class Nowhere:
    """Clusters without an endpoint."""

    def pick(self, name: str) -> None:
        return None


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "shop.pb").write_bytes(descriptor_set())
    return str(tmp_path / "shop.pb")


def test_a_request_means_a_method_by_its_path(file: str) -> None:
    api = Grpc(file)
    assert api.ready() is None
    call = api.find("GET", "/v1/items/a")
    assert call is not None and call.name == "shop.Shop/Get"
    assert api.find("GET", "/nowhere") is None


def test_a_wrong_method_and_a_path_that_cannot_be_read_are_refused(file: str) -> None:
    api = Grpc(file)
    with pytest.raises(Refused) as caught:
        api.find("POST", "/v1/items/a")
    assert (caught.value.status, caught.value.allowed) == (405, ["GET"])
    with pytest.raises(Refused) as caught:
        api.find("GET", "/v1/items/%ff")
    assert caught.value.status == 400


def test_a_file_that_is_not_there_or_no_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"none\.pb can't be read: No such file"):
        Grpc(str(tmp_path / "none.pb"))
    (tmp_path / "bad.pb").write_bytes(b"\xff")
    with pytest.raises(OptionError, match=r"bad\.pb: .*descriptor_set_out"):
        Grpc(str(tmp_path / "bad.pb"))


def test_descriptors_come_from_one_place(file: str) -> None:
    for options in ({}, {"descriptors": file, "reflection": Reflected("shop")}):
        with pytest.raises(ValueError, match="one of them"):
            Grpc(**options)  # type: ignore[arg-type]


def test_a_service_that_is_not_there_is_refused(file: str) -> None:
    with pytest.raises(OptionError, match=r"no service 'shop.None'; there are shop.Other, shop.Shop"):
        Grpc(file, services=["shop.None"])


def test_servers_that_do_not_describe_themselves_are_503_until_they_do() -> None:
    clock = Clock()
    api = Grpc(reflection=Reflected("shop"), clock=clock, clusters=Nowhere())
    assert (api.asks, api.ready()) == (("shop",), None)
    with pytest.raises(Refused) as caught:
        api.find("GET", "/v1/items/a")
    assert caught.value.status == 503
    api.stop()


def test_reflection_needs_clusters() -> None:
    with pytest.raises(OptionError, match="no clusters here"):
        Grpc(reflection=Reflected("shop"), clock=Clock())
