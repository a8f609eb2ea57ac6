"""
ApiVersions: a client learns which versions of which APIs it may use, and gets to know no others than the proxy does.

An API that the proxy does not know is left out, and of one that it knows the newest versions that it does not. Older
ones stay: they have no field in which they name brokers, and clients of old exist. SaslHandshake is the exception:
behind its version 0 comes what is no message at all.

Lives here: `narrowed`, `refusal`, `bare_refusal`. Does not: other answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

from metaproxy.codecs.kafka import schema, wire
from metaproxy.codecs.kafka.schema import Form
from metaproxy.codecs.kafka.walk import ARRAY, ELEMENT, Place, Plan, plan, walk
from metaproxy.message import FrameError

UNSUPPORTED: Final = wire.SHORT.pack(schema.ERRORS["UNSUPPORTED_VERSION"])
_APIS: Final = "apis"
_NUMBERS: Final = ("ApiKey", "MinVersion", "MaxVersion")
SASL_HANDSHAKE: Final = schema.KEYS["SaslHandshake"]


def narrowed(frame: bytes, form: Form) -> bytes:
    """The answer to ApiVersions without what is not known here. Raises FrameError."""
    at = wire.ANSWER.size
    if frame[at : at + 2] != UNSUPPORTED:
        return _narrowed(frame, walk(frame, at, _plan(form)), form.flexible)
    # A broker that does not know the version that it was asked in answers in the first; librdkafka's mock in none.
    try:
        places = walk(frame, at, _plan(_of(0)))
    except FrameError:
        return bare_refusal(wire.INT.unpack_from(frame, wire.SIZE)[0])
    return _narrowed(frame, places, False)


def _narrowed(frame: bytes, places: Sequence[Place], flexible: bool) -> bytes:
    edits: list[wire.Edit] = []
    dropped, numbers = 0, []
    count = (0, 0)
    for label, start, stop in places:
        if label == ARRAY + _APIS:
            count = start, stop
        elif label != ELEMENT + _APIS:
            numbers.append(start)
        else:
            if (changed := _of_api(frame, *numbers)) is None:
                edits.append((start, stop, b""))
                dropped += 1
            else:
                edits.append((numbers[1], numbers[2] + 2, changed))
            numbers = []
    if dropped:
        start, stop = count
        if flexible:
            kept = wire.write_varint(wire.varint(frame, start)[0] - dropped)
        else:
            kept = wire.INT.pack(wire.INT.unpack_from(frame, start)[0] - dropped)
        edits.insert(0, (start, stop, kept))
    return wire.edited(frame, edits)


def refusal(id: int) -> bytes:
    """What a client gets that asks in a version that is not known: it asks again in one that is."""
    api = schema.APIS[wire.API_VERSIONS]
    known = wire.INT.pack(1) + b"".join(map(wire.SHORT.pack, (api.key, api.first, api.last)))
    return wire.framed(wire.INT.pack(id) + UNSUPPORTED + known)


def bare_refusal(id: int) -> bytes:
    """
    The same with no versions: a client asks for them in the first one. To SaslHandshake: a client of old that knows
    nothing else can't log in.
    """
    return wire.framed(wire.INT.pack(id) + UNSUPPORTED + wire.INT.pack(0))


def _of_api(frame: bytes, key: int, first: int, last: int) -> bytes | None:
    """The first and last version that a client may use, None for none. Their places are given."""
    number, least, most = (wire.SHORT.unpack_from(frame, at)[0] for at in (key, first, last))
    api = schema.APIS.get(number)
    if api is None:
        return None
    most = min(most, api.last)
    if number == SASL_HANDSHAKE:
        least = max(least, 1)
    return None if least > most else wire.SHORT.pack(least) + wire.SHORT.pack(most)


def _of(version: int) -> Form:
    form = schema.response(wire.API_VERSIONS, version)
    if form is None:
        raise FrameError(f"ApiVersions has no version {version}")
    return form


def _wanted(field: schema.Field, beside: tuple[schema.Field, ...]) -> str:
    if field.name == "ApiKeys":
        return _APIS
    return field.name if beside[0].name == "ApiKey" and field.name in _NUMBERS else ""


@cache
def _plan(form: Form) -> Plan:
    return plan(form, _wanted)
