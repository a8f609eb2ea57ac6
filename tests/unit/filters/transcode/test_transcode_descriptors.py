"""What methods an API has, by files of descriptors."""

from __future__ import annotations

import pytest
from google.protobuf import descriptor_pb2
from transcoding import descriptor_set, shop

from metaproxy.filters.transcode.descriptors import Api, files_of
from metaproxy.filters.transcode.http_rules import Rule


def test_methods_with_rules_are_found_whatever_the_order_of_the_files() -> None:
    for files in (shop(), shop()[::-1], files_of(descriptor_set())):
        api = Api(files)
        assert [method.path for method in api.methods if method.name == "Get"] == ["/shop.Other/Get", "/shop.Shop/Get"]
        assert "/shop.Shop/Hidden" not in [method.path for method in api.methods]


def test_a_method_knows_its_messages_and_which_side_streams() -> None:
    methods = {method.name: method for method in Api(shop(), ["shop.Shop"]).methods}
    assert methods["Get"].request.DESCRIPTOR.full_name == "shop.Item"
    assert (methods["Watch"].client_streams, methods["Watch"].server_streams) == (False, True)
    assert (methods["Fill"].client_streams, methods["Fill"].server_streams) == (True, False)


def test_methods_without_a_rule_have_one_where_that_is_wanted() -> None:
    methods = {method.path: method for method in Api(shop(), unannotated=True).methods}
    assert methods["/shop.Shop/Hidden"].rules == [Rule("POST", "/shop.Shop/Hidden", "*")]
    assert len(methods["/shop.Shop/Get"].rules) == 1


def test_only_the_services_that_are_named_are_there() -> None:
    assert {method.service for method in Api(shop(), ["shop.Other"]).methods} == {"shop.Other"}
    with pytest.raises(ValueError, match=r"no service 'shop.None'; there are shop.Other, shop.Shop"):
        Api(shop(), ["shop.None"])


def test_fields_have_the_names_of_the_file_and_those_of_json() -> None:
    api = Api(shop())
    kind = next(method.request.DESCRIPTOR for method in api.methods if method.name == "Get")
    assert api.fields(kind)["made_at"].number == api.fields(kind)["madeAt"].number


def test_a_file_that_is_imported_and_not_there_is_named() -> None:
    with pytest.raises(
        ValueError, match=r"google/protobuf/timestamp.proto, which shop.proto imports.*--include_imports"
    ):
        Api(shop()[:2])


def test_files_that_import_each_other_are_refused() -> None:
    first = descriptor_pb2.FileDescriptorProto(name="a", dependency=["b"]).SerializeToString()
    second = descriptor_pb2.FileDescriptorProto(name="b", dependency=["a"]).SerializeToString()
    with pytest.raises(ValueError, match="imports itself"):
        Api([first, second])


def test_a_file_that_is_wrong_is_named() -> None:
    file = descriptor_pb2.FileDescriptorProto(name="a.proto", syntax="proto3")
    file.message_type.add(name="A").field.add(name="x", number=1, type=11, label=1, type_name=".Nowhere")
    with pytest.raises(ValueError, match=r"a\.proto"):
        Api([file.SerializeToString()])


def test_bytes_that_are_no_set_are_refused() -> None:
    with pytest.raises(ValueError, match="descriptor_set_out"):
        files_of(b"\xff\xff")
    with pytest.raises(ValueError, match="no descriptors"):
        Api(files_of(b""))
