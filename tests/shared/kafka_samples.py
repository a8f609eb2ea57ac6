"""Something in each field of a form of Kafka's: values that are not the defaults."""

from __future__ import annotations

from metaproxy.codecs.kafka.schema import Field
from metaproxy.codecs.kafka.values import Values
from metaproxy.codecs.kafka.walk import SIZES


def sample(fields: tuple[Field, ...]) -> Values:
    """Something in each field, two elements in each array, tags included."""
    return {field.name: [one(field), one(field)] if field.repeated else one(field) for field in fields}


def one(field: Field) -> object:
    if field.kind == "struct":
        return sample(field.fields)
    if field.kind == "uuid":
        return b"u" * 16
    if field.kind == "bool":
        return True
    if field.kind == "float64":
        return 1.5
    return 1 if field.kind in SIZES else field.name.encode() * 30
