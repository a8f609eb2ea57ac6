"""
Frames without the secrets in them.

A frame is bytes of a protocol: what must not be in a file is taken out by the codec that understands them, or the whole
exchange is left out. Two facts count: the codec says which messages hold a secret by the protocol's own rules (a login,
a password that is set), and metadata whose key or value shows a secret are put back masked by the codec's `mutate`.
Afterwards the secret's bytes must be gone from the frame; a codec that can't do that leaves the exchange out.

Lives here: `redacted`. Does not: what sounds like a secret (`telemetry.secret_keys`).
"""

from __future__ import annotations

import copy

from metaproxy.interfaces import ICodec
from metaproxy.message import FrameError, Message, Mutation
from metaproxy.telemetry.secret_keys import MASK, looks_secret


def redacted(codec: ICodec, message: Message) -> tuple[bytes, tuple[str, ...]] | None:
    """The frame without its secrets, and the keys that were masked; None when it must be left out."""
    known = message.known()
    secrets = {key: value for key, value in known.items() if value and value != MASK and looks_secret(key, value)}
    if not secrets:
        return message.frame, ()
    if codec.mutable:
        return None
    # Codecs give keys in lower case, too: only the peer's own spelling is in the frame.
    spelled = {key.lower() for key in secrets if key != key.lower()}
    keys = tuple(key for key in secrets if key not in spelled)
    try:
        frame: bytes = codec.mutate(copy.copy(message), Mutation(dict.fromkeys(keys, MASK)))
    except FrameError:
        return None
    for value in secrets.values():
        if value.encode("utf-8", "surrogateescape") in frame:
            return None
    return frame, keys
