"""
What a client gets when the proxy answers by itself: the protocol's own error, made by the codec.

Lives here: `frame`. Does not: when that happens (`exchange`, filters).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Protocol

from twisted.python.failure import Failure

from metaproxy.interfaces import ICodec
from metaproxy.message import ErrorKind, FinalFrame, FrameError, Kind, Message, Mutation, Reply, Written
from metaproxy.proxy.culprit import culprit
from metaproxy.proxy.roles import ExchangeClient
from metaproxy.proxy.snapshot import NO_ROUTE, ListenerSnapshot


class Answerable(Protocol):
    """An exchange that the proxy answers. reply_kind: of the answer; None for no error."""

    reply_kind: ErrorKind | None

    @property
    def client(self) -> ExchangeClient: ...
    @property
    def message(self) -> Message: ...
    @property
    def snapshot(self) -> ListenerSnapshot: ...


def frame(exchange: Answerable, reply: Reply) -> Written:
    """
    The bytes of the answer. A codec that can't make them is named and counted: the answer is then an empty FinalFrame,
    as a client that waits for ever would be worse off than one whose connection ends.
    """
    if reply.frame is not None and exchange.message.kind not in (Kind.ONEWAY, Kind.CONNECT):
        made = reply.frame
        return exchange.client.session.send(made, exchange.message.id) if isinstance(made, Message) else made
    codec = exchange.snapshot.codec
    try:
        return _error(exchange, reply)
    except BaseException:
        failure = Failure()
        exchange.client.listener.plugin_failed(culprit(failure, f"codec {codec.name}: reply"), failure)
        exchange.reply_kind = ErrorKind.INTERNAL
        return FinalFrame()


def _error(exchange: Answerable, reply: Reply) -> Written:
    text, message, codec = reply.text, exchange.message, exchange.snapshot.codec
    if reply is NO_ROUTE and message.metadata and "operation" in message.metadata:
        text = f"{text} for {message.metadata['operation']}"
    made = codec.reply(message, reply.kind or ErrorKind.INTERNAL, text[:1024], reply.name)
    if isinstance(made, Message):
        if reply.metadata and not codec.mutable:
            made = made.with_frame(_told(codec, made, reply.metadata))
        return exchange.client.session.send(made, message.id)
    if not isinstance(made, bytes):
        raise TypeError(f"reply gave {made!r:.100}, which is neither bytes nor a Message")
    if reply.metadata and made and not codec.mutable:
        error = copy.copy(message)
        error.kind, error.frame = Kind.ERROR, made
        made = _told(codec, error, reply.metadata)
    return made


def _told(codec: ICodec, error: Message, metadata: Mapping[str, str]) -> bytes:
    """The frame with the metadata; without those that its protocol can't carry there, which a service may name."""
    try:
        return codec.mutate(error, Mutation(metadata))
    except FrameError:
        pass
    for key, value in metadata.items():
        try:
            error = error.with_frame(codec.mutate(error, Mutation({key: value})))
        except FrameError:
            continue
    return error.frame
