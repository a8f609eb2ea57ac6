"""
Answers that say where brokers are, with the addresses at which clients reach them through the proxy.

    Metadata, DescribeCluster                             brokers
    FindCoordinator                                       the broker of a group or a transaction
    Produce, Fetch, ShareFetch, ShareAcknowledge          the new leaders of partitions (tagged, KIP-951)

Which fields these are follows from the forms: a struct with a node's id, a Host and a Port. A broker that has no
address for clients is left out; of a coordinator it is said that it is not available, so clients ask until it is.

Lives here: `names_brokers`, `rewrite`. Does not: the addresses (the proxy's `doors`).
"""

from __future__ import annotations

from functools import cache
from typing import Final

from metaproxy.codecs.kafka import schema, wire
from metaproxy.codecs.kafka.schema import Field, Form
from metaproxy.codecs.kafka.splice import Splice
from metaproxy.codecs.kafka.walk import ARRAY, ELEMENT, SIZE_OF_TAG, Place, Plan, plan, walk
from metaproxy.interfaces import IDoors

_NODES: Final = ("NodeId", "BrokerId")
_NODE, _HOST, _PORT, _ERROR, _BROKERS = "node", "host", "port", "error", "brokers"
_LABELS: Final = {"NodeId": _NODE, "BrokerId": _NODE, "Host": _HOST, "Port": _PORT, "ErrorCode": _ERROR}
_NO_NODE: Final = wire.INT.pack(-1)


def names_brokers(form: Form) -> bool:
    return bool(_plan(form))


@cache
def broker_tags(form: Form) -> frozenset[int]:
    """The tags of a body that name brokers."""
    return frozenset(field.tag for field in form.fields if field.tag >= 0 and _is_broker(field.fields))


def rewrite(frame: bytes, at: int, form: Form, doors: IDoors) -> bytes:
    """The answer, whose body begins there, with the addresses of the doors. Raises FrameError."""
    steps = _plan(form)
    if not steps:
        return frame
    found = Splice(frame, form.flexible)
    struct: dict[str, Place] = {}  # what was seen of the one that is under way
    for place in walk(frame, at, steps):
        label, start, stop = place
        if label == ELEMENT + _BROKERS:
            if not _readdress(found, frame, form.flexible, struct, doors):
                found.drop(_BROKERS, start, stop)
            struct = {}
        elif label == ARRAY + _BROKERS or label == SIZE_OF_TAG:
            found.see(place)
            struct = {}
        else:
            struct[label] = place
    _readdress(found, frame, form.flexible, struct, doors)
    return found.done()


def _readdress(found: Splice, frame: bytes, flexible: bool, struct: dict[str, Place], doors: IDoors) -> bool:
    """Give the broker of a struct another address; whether there is one, or an error in its place."""
    if _NODE not in struct or (node := wire.INT.unpack_from(frame, struct[_NODE][1])[0]) < 0:
        return True
    address = doors.address(str(node))
    if address is None and _ERROR not in struct:
        return False
    host, port = address or ("", -1)
    texts = {_HOST: wire.write_text(host.encode(), flexible), _PORT: wire.INT.pack(port)}
    if address is None:
        texts |= {_NODE: _NO_NODE, _ERROR: wire.SHORT.pack(schema.ERRORS["COORDINATOR_NOT_AVAILABLE"])}
    for label, text in texts.items():
        found.replace(*struct[label][1:], text)
    return True


@cache
def _plan(form: Form) -> Plan:
    return plan(form, _wanted)


def _wanted(field: Field, beside: tuple[Field, ...]) -> str:
    if field.fields:
        return _BROKERS if field.repeated and _is_broker(field.fields) else ""
    return _LABELS.get(field.name, "") if _is_broker(beside) else ""


@cache
def _is_broker(fields: tuple[Field, ...]) -> bool:
    names = {field.name for field in fields}
    return names.issuperset(("Host", "Port")) and not names.isdisjoint(_NODES)
