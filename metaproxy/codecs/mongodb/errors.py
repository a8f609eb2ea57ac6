"""
Errors of the proxy as those of a MongoDB server: ok, errmsg, code, codeName and the labels that drivers act on.

Source: src/mongo/base/error_codes.yml of MongoDB. Lives here: `Errors`, `document`. Does not: the frame around it.
"""

from __future__ import annotations

from typing import Final

from metaproxy.codecs.mongodb import bson
from metaproxy.message import ErrorKind

CODES: Final = {
    "InternalError": 1, "HostUnreachable": 6, "HostNotFound": 7, "FailedToParse": 9, "Unauthorized": 13,
    "ProtocolError": 17, "AuthenticationFailed": 18, "NamespaceNotFound": 26, "CursorNotFound": 43,
    "MaxTimeMSExpired": 50, "CommandNotFound": 59, "ShardNotFound": 70, "NetworkTimeout": 89,
    "ShutdownInProgress": 91, "WriteConflict": 112, "CommandNotSupported": 115, "FailedToSatisfyReadPreference": 133,
    "ExceededTimeLimit": 262, "UnsupportedOpQueryCommand": 352, "IngressRequestRateLimitExceeded": 462,
    "SocketException": 9001, "NotWritablePrimary": 10107, "InterruptedAtShutdown": 11600,
    "NotPrimaryNoSecondaryOk": 13435, "NotPrimaryOrSecondary": 13436,
}  # fmt: skip
"""The names that a reply may have, and their codes."""

NAMES: Final = {
    ErrorKind.NOT_FOUND: "ShardNotFound", ErrorKind.NO_CLUSTER: "ShardNotFound",
    ErrorKind.NO_ENDPOINT: "FailedToSatisfyReadPreference", ErrorKind.CONNECT: "HostUnreachable",
    ErrorKind.RESET: "SocketException", ErrorKind.TIMEOUT: "MaxTimeMSExpired",
    ErrorKind.OVERLOAD: "IngressRequestRateLimitExceeded", ErrorKind.LIMITED: "IngressRequestRateLimitExceeded",
    ErrorKind.DENIED: "Unauthorized", ErrorKind.BAD_REQUEST: "FailedToParse",
    ErrorKind.BAD_RESPONSE: "ProtocolError", ErrorKind.UNSUPPORTED: "CommandNotSupported",
    ErrorKind.DRAINING: "ShutdownInProgress", ErrorKind.INTERNAL: "InternalError",
}  # fmt: skip
"""
The codeName of each error of the proxy's own. Drivers try a read, or a write with a txnNumber, a second time after
HostUnreachable, SocketException and ShutdownInProgress, and forget what they know of the server after the last.
"""

RETRYABLE: Final = frozenset(("HostUnreachable", "SocketException", "ShutdownInProgress"))
"""Behind which a write with a txnNumber may be tried again: the server knows which it has executed."""

OVERLOADED: Final = frozenset(("IngressRequestRateLimitExceeded",))
"""What was refused before it was looked at; newer drivers try again, slower and slower."""

NOT_PRIMARY: Final = frozenset((189, 10107, 11602, 13435, 13436))
"""Codes that a server answers with that is no primary any more, or no member that serves."""


def document(kind: ErrorKind, text: str, name: str = "", labels: list[str] | None = None) -> bytes:
    """The BSON of an error. name: see CODES; an unknown one counts as none."""
    name = name if name in CODES else NAMES[kind]
    fields: dict[str, bson.Value] = {
        "ok": 0.0,
        "errmsg": text or kind.value,
        "code": CODES[name],
        "codeName": name,
    }
    if labels:
        fields["errorLabels"] = list(labels)
    return bson.document(fields)
