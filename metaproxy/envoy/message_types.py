"""
Message classes by their full names or type URLs, loaded when they are asked for.

Lives here: `message_class`, `url`. Does not: which of them mean something to metaproxy (`tables`).
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message

from metaproxy.envoy import aeraki, own_messages

PREFIX = "type.googleapis.com/"
TYPED_STRUCTS = ("udpa.type.v1.TypedStruct", "xds.type.v3.TypedStruct")
"""What holds a message as JSON, for who sends it without knowing it."""
_ROOTS = ("envoy", "google", "udpa", "xds", "opentelemetry", "validate")
"""Packages of Python in which messages are looked for. A peer chooses the names: nothing else may be imported."""
_MAX_NAME = 256


def url(name: str) -> str:
    """The type URL of a full name."""
    return f"{PREFIX}{name}"


def full_name(type_url: str) -> str:
    """The full name in a type URL."""
    return type_url.rpartition("/")[2]


@cache
def package_loaded(package: str) -> bool:
    """Import all messages of a protobuf package such as envoy.config.core.v3. Return whether there are any."""
    if package == own_messages.PACKAGE:
        own_messages.load()
        return True
    if package in (aeraki.ISTIO, aeraki.PACKAGE.removesuffix(".")) or package.startswith(aeraki.PACKAGE):
        aeraki.load()
        return True
    parts = package.split(".")
    if parts[0] not in _ROOTS or not all(part.isidentifier() for part in parts):
        return False
    try:
        spec = find_spec(package)
    except ImportError:
        return False
    places = [] if spec is None else list(spec.submodule_search_locations or ())
    names = [module.name for module in iter_modules(places) if module.name.endswith("_pb2")]
    for name in names:
        import_module(f"{package}.{name}")
    return bool(names)


def message_class(name: str) -> type[Message] | None:
    """The class of a message by its full name; None when there is no such message."""
    if len(name) > _MAX_NAME or "." not in name:
        return None
    pool = descriptor_pool.Default()
    package = name
    while "." in package:
        package = package.rpartition(".")[0]
        if package_loaded(package):
            break
    try:
        descriptor = pool.FindMessageTypeByName(name)
    except KeyError:
        return None
    found: type[Message] = message_factory.GetMessageClass(descriptor)
    return found
