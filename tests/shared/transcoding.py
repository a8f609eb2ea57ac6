"""An API for tests of transcoding: its descriptors, made without protoc; requests of HTTP, and answers of gRPC."""

from __future__ import annotations

from google.protobuf import descriptor_pb2, timestamp_pb2, wrappers_pb2

from metaproxy.codecs.http.metadata import read
from metaproxy.codecs.http.model import HttpMessage, Pair, answer_head, head_of, request_head, whole
from metaproxy.codecs.protobuf_wire import write
from metaproxy.filters.transcode.calls import Request
from metaproxy.message import Message

_METHODS = {"GET": 0x12, "PUT": 0x1A, "POST": 0x22, "DELETE": 0x2A, "PATCH": 0x32}
_HTTP = 72295728 << 3 | 2


def rule(method: str, path: str, body: str = "", answer: str = "", *more: bytes) -> bytes:
    """A google.api.HttpRule. more: additional bindings."""
    if method in _METHODS:
        data = write(_METHODS[method], path.encode())
    else:
        data = write(0x42, write(0x0A, method.encode()) + write(0x12, path.encode()))
    data += write(0x3A, body.encode()) if body else b""
    data += write(0x62, answer.encode()) if answer else b""
    return data + b"".join(write(0x5A, each) for each in more)


def options(rule: bytes) -> bytes:
    """MethodOptions with a rule."""
    return write(_HTTP, rule)


_FIELDS = descriptor_pb2.FieldDescriptorProto
_KINDS = {
    "string": _FIELDS.TYPE_STRING, "int64": _FIELDS.TYPE_INT64, "bool": _FIELDS.TYPE_BOOL, "bytes": _FIELDS.TYPE_BYTES,
    "double": _FIELDS.TYPE_DOUBLE, "int32": _FIELDS.TYPE_INT32,
}  # fmt: skip


def _message(file: descriptor_pb2.FileDescriptorProto, name: str, *fields: str) -> None:
    """fields: such as `title string` or `authors *string`, numbered as they come; a dot begins a message's name."""
    made = file.message_type.add(name=name)
    for number, each in enumerate(fields, 1):
        called, kind = each.split()
        field = made.field.add(name=called, number=number, label=_FIELDS.LABEL_OPTIONAL)
        if kind.startswith("*"):
            field.label, kind = _FIELDS.LABEL_REPEATED, kind[1:]
        if kind in _KINDS:
            field.type = _KINDS[kind]
        else:
            field.type_name = kind
            field.type = _FIELDS.TYPE_ENUM if kind == ".shop.Size" else _FIELDS.TYPE_MESSAGE


def _method(
    service: descriptor_pb2.ServiceDescriptorProto, name: str, takes: str, gives: str, rule: bytes | None = None
) -> None:
    """takes, gives: names of messages; a star before one says that there is a stream of them."""
    method = service.method.add(name=name, input_type=f".shop.{takes.lstrip('*')}")
    method.output_type = gives.lstrip("*") if gives.lstrip("*").startswith(".") else f".shop.{gives.lstrip('*')}"
    method.client_streaming, method.server_streaming = takes.startswith("*"), gives.startswith("*")
    if rule is not None:
        method.options.MergeFromString(options(rule))


def shop() -> list[bytes]:
    """Files of an API with the package `shop`, each behind none that it imports."""
    file = descriptor_pb2.FileDescriptorProto(name="shop.proto", package="shop", syntax="proto3")
    body = descriptor_pb2.FileDescriptorProto(name="google/api/httpbody.proto", package="google.api", syntax="proto3")
    imported = [timestamp_pb2.DESCRIPTOR, wrappers_pb2.DESCRIPTOR]
    file.dependency.extend([*(each.name for each in imported), body.name])
    _message(body, "HttpBody", "content_type string", "data bytes")
    size = file.enum_type.add(name="Size")
    for number, each in enumerate(("SIZE_UNKNOWN", "SMALL", "LARGE")):
        size.value.add(name=each, number=number)
    _message(file, "Maker", "full_name string", "town string")
    _message(
        file, "Item", "name string", "price int64", "tags *string", "size .shop.Size", "maker .shop.Maker",
        "made_at .google.protobuf.Timestamp", "sold bool", "stock .google.protobuf.Int32Value", "image bytes",
        "fresh .google.protobuf.BoolValue", "weight double",
    )  # fmt: skip
    _message(file, "Query", "parent string", "item .shop.Item", "words *string", "page int32")
    _message(file, "Upload", "name string", "file .google.api.HttpBody")
    service = file.service.add(name="Shop")
    named = rule("GET", "/v1/{name=items/*}")
    _method(service, "Get", "Item", "Item", named)
    _method(
        service, "Find", "Query", "Item", rule("GET", "/v1/items", "", "", rule("GET", "/v1/{parent=shops/*}/items"))
    )
    _method(service, "Put", "Query", "Item", rule("POST", "/v1/{parent=shops/*}/items", "item"))
    _method(service, "Change", "Item", "Item", rule("POST", "/v1/{name=items/*}:change", "*"))
    _method(service, "Price", "Item", "Item", rule("GET", "/v1/{name=items/*}/price", "", "price"))
    _method(service, "Watch", "Query", "*Item", rule("GET", "/v1/items:watch"))
    _method(service, "Fill", "*Item", "Item", rule("POST", "/v1/items:fill", "*"))
    _method(service, "Send", "Upload", ".google.api.HttpBody", rule("PUT", "/v1/files/{name=**}", "file"))
    _method(service, "Hidden", "Item", "Item")
    other = file.service.add(name="Other")
    _method(other, "Get", "Item", "Item", rule("REPORT", "/other/{name}"))
    return [file.SerializeToString(), body.SerializeToString(), *(each.serialized_pb for each in imported)]


def descriptor_set() -> bytes:
    files = [descriptor_pb2.FileDescriptorProto.FromString(each) for each in shop()]
    return descriptor_pb2.FileDescriptorSet(file=files).SerializeToString()


def request(method: str, target: str, body: bytes = b"", *fields: Pair) -> HttpMessage:
    """A whole request."""
    head = request_head(method.encode(), target.encode(), b"shop.test", list(fields))
    return whole(head, body, 1, read)


def framed(payload: bytes) -> bytes:
    """A message of gRPC on the wire."""
    return b"\x00" + len(payload).to_bytes(4, "big") + payload


def reply(
    *payloads: bytes, end: list[Pair] | None = None, fields: list[Pair] | None = None, status: int = 200
) -> Message:
    """A whole answer of a server of gRPC; end: its trailers."""
    head = answer_head(status, [(b"content-type", b"application/grpc"), *(fields or [])])
    return whole(head, b"".join(map(framed, payloads)), 1, read, [(b"grpc-status", b"0")] if end is None else end)


def asked(method: str, target: str, body: bytes = b"", *fields: Pair) -> Request:
    """A request as calls are given it."""
    path, _, query = target.partition("?")
    return Request(head_of(request(method, target, body, *fields)), path, query, body, lambda message: None)
