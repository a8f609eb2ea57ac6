"""
What methods an API of protocol buffers has, from files of descriptors.

Lives here: `Api`, made of a descriptor set or of the files that a server gave by reflection. Needs the extra
`transcode`. Does not: where the files come from (`reflection`), rules (`http_rules`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from metaproxy.filters.transcode.http_rules import Rule, rules_in
from metaproxy.support.extras import install

try:
    from google.protobuf import descriptor, descriptor_pb2, descriptor_pool, message, message_factory
except ImportError as error:
    raise ValueError(f"protobuf is not installed; install it with: {install('transcode')}") from error

if TYPE_CHECKING:
    from google._upb import _message

Descriptor: TypeAlias = "descriptor.Descriptor | _message.Descriptor"
FieldDescriptor: TypeAlias = "descriptor.FieldDescriptor | _message.FieldDescriptor"
TYPE_BOOL = descriptor.FieldDescriptor.TYPE_BOOL
ProtoMessage = message.Message


class Method(NamedTuple):
    """request, response: classes of its messages; rules: those of its annotations, or the one that it has without."""

    service: str
    name: str
    request: type[ProtoMessage]
    response: type[ProtoMessage]
    client_streams: bool
    server_streams: bool
    rules: list[Rule]

    @property
    def path(self) -> str:
        return f"/{self.service}/{self.name}"


class Api:
    """
    files: FileDescriptorProto, serialized; each with all that it imports among them. services: full names, empty for
    all. unannotated: whether methods without a rule are to be had at POST /package.Service/Method. Raises ValueError.
    """

    def __init__(self, files: Iterable[bytes], services: Iterable[str] = (), unannotated: bool = False) -> None:
        self.pool = descriptor_pool.DescriptorPool()
        self.methods: list[Method] = []
        self._names: dict[str, Mapping[str, FieldDescriptor]] = {}
        found: dict[str, descriptor.ServiceDescriptor] = {}
        for name in _add(self.pool, files):
            found.update((each.full_name, each) for each in self.pool.FindFileByName(name).services_by_name.values())
        wanted = list(services)
        for name in wanted:
            if name not in found:
                raise ValueError(f"no service {name!r}; there are {', '.join(sorted(found)) or 'none'}")
        for name in wanted or sorted(found):
            self._service(found[name], unannotated)

    def _service(self, service: descriptor.ServiceDescriptor, unannotated: bool) -> None:
        for method in service.methods:
            rules = rules_in(method.GetOptions().SerializeToString())
            if not rules and unannotated:
                rules = [Rule("POST", f"/{service.full_name}/{method.name}", "*")]
            if rules:
                request = message_factory.GetMessageClass(method.input_type)
                response = message_factory.GetMessageClass(method.output_type)
                streams = method.client_streaming, method.server_streaming
                self.methods.append(Method(service.full_name, method.name, request, response, *streams, rules))

    def fields(self, kind: Descriptor) -> Mapping[str, FieldDescriptor]:
        """The fields of a message by their names, both as in the .proto file and as in JSON."""
        found = self._names.get(kind.full_name)
        if found is None:
            found = {field.json_name: field for field in kind.fields} | {field.name: field for field in kind.fields}
            self._names[kind.full_name] = found
        return found


def files_of(descriptor_set: bytes) -> list[bytes]:
    """The files of a FileDescriptorSet. Raises ValueError."""
    try:
        found = descriptor_pb2.FileDescriptorSet.FromString(descriptor_set)
    except message.DecodeError as error:
        raise ValueError(f"this is no FileDescriptorSet ({error}); make one with protoc --descriptor_set_out") from None
    return [each.SerializeToString() for each in found.file]


def _add(pool: descriptor_pool.DescriptorPool, files: Iterable[bytes]) -> list[str]:
    """Adds the files, each behind what it imports, and gives their names."""
    waiting = {file.name: file for file in map(descriptor_pb2.FileDescriptorProto.FromString, files)}
    if not waiting:
        raise ValueError("there are no descriptors of files in it")
    added: list[str] = []
    for name in list(waiting):
        _add_one(pool, name, waiting, added, ())
    return added


def _add_one(
    pool: descriptor_pool.DescriptorPool,
    name: str,
    waiting: dict[str, descriptor_pb2.FileDescriptorProto],
    added: list[str],
    importers: tuple[str, ...],
) -> None:
    if name in added:
        return
    if name in importers:
        raise ValueError(f"{name} imports itself, by way of {', '.join(importers)}")
    if name not in waiting:
        raise ValueError(
            f"{name}, which {importers[-1]} imports, is not there; write protoc --include_imports"
            if importers
            else f"{name} is not there"
        )
    file = waiting[name]
    for dependency in file.dependency:
        _add_one(pool, dependency, waiting, added, (*importers, name))
    try:
        pool.AddSerializedFile(file.SerializeToString())
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: {error}") from None
    added.append(name)
