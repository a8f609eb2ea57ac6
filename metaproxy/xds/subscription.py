"""
Asking for resources of one kind, and answering what comes: what to send, as messages. No socket, no timer.

Lives here: `Subscription` in its two forms, the state of the world and incremental. Does not: streams (`session`), what
a resource holds, and when a refusal is sent (`session` too).

A response is answered once: with an ACK, which has its version and nonce, or with a NACK, which has the version that
was accepted last and the new nonce. Names that change while an answer is due go with the answer: a request between the
two would be taken for the answer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from envoy.config.core.v3 import base_pb2
from envoy.service.discovery.v3 import discovery_pb2
from google.rpc import code_pb2, status_pb2

from metaproxy.xds.resource_types import ResourceType
from metaproxy.xds.update import Update, read_delta, read_state_of_the_world

MAX_DETAIL = 16 << 10
"""Characters of the text of a refusal; gRPC servers bound what they read."""


class Request(Protocol):
    """A DiscoveryRequest, or a DeltaDiscoveryRequest."""

    @property
    def node(self) -> base_pb2.Node: ...

    def SerializeToString(self) -> bytes: ...


class Response(Protocol):
    """A DiscoveryResponse, or a DeltaDiscoveryResponse."""

    @property
    def type_url(self) -> str: ...


class Subscription(Protocol):
    """
    What a session asks of a subscription. What is returned is the message to send, or None for nothing now. version: of
    the response that was accepted last.
    """

    kind: ResourceType
    version: str
    names: frozenset[str]

    def open(self) -> Request | None:
        """A stream begins: ask for all that is wanted, with what is known already."""

    def close(self) -> None:
        """The stream has ended."""

    def want(self, names: Collection[str]) -> Request | None:
        """Ask for these names from now on; of a kind with a wildcard, none means all."""

    def read(self, response: Response, known: Mapping[bytes, str]) -> Update:
        """Read a response, which must be answered then."""

    def ack(self, update: Update) -> Request | None:
        """Accept the response that was read last."""

    def nack(self, update: Update, text: str, held: Collection[str] = ()) -> Request | None:
        """Refuse the response that was read last. held: its resources that are in use for all that."""

    def refresh(self) -> Request | None:
        """Ask for everything again, as if nothing were known."""


class _Wanted:
    """What both forms share: names, and what is due on the stream."""

    def __init__(self, kind: ResourceType, names: Collection[str] = ()) -> None:
        self.kind = kind
        self.version = ""
        self.names = frozenset(names)
        self.everything = kind.wildcard and not names
        self._is_open = False
        self._asked = False
        self._nonce = ""
        self._due = False

    @property
    def _interested(self) -> bool:
        return self.everything or bool(self.names)

    def _begin(self, is_open: bool) -> None:
        self._is_open, self._asked, self._nonce, self._due = is_open, False, "", False

    def close(self) -> None:
        self._begin(False)

    def _set(self, names: Collection[str]) -> bool:
        """Return whether it differs from before."""
        before = self.names, self.everything
        self.names = frozenset(names)
        self.everything = self.kind.wildcard and not names
        return before != (self.names, self.everything)


class StateOfTheWorld(_Wanted):
    """
    A subscription whose requests have all names, and whose responses have all of the resources.

    A request with a version says that all of its names are held as of then, and a server may leave it without an
    answer. So one with a name that is not held, and that the stream had before, has no version.
    """

    def __init__(self, kind: ResourceType, names: Collection[str] = ()) -> None:
        super().__init__(kind, names)
        self._held: frozenset[str] = frozenset()
        self._before: frozenset[str] = frozenset()  # every name that was asked for on this stream
        self._last: frozenset[str] = frozenset()  # those of the last request
        self._form = _Form(frozenset(), kind.url)

    def open(self) -> Request | None:
        self._begin(True)
        self._before = frozenset()
        return self._request(self.version if self.names <= self._held else "") if self._interested else None

    def want(self, names: Collection[str]) -> Request | None:
        changed = self._set(names)
        self._held &= self.names
        if not changed or not self._is_open or self._due or not (self._asked or self._interested):
            return None
        return self._request("" if self._returned() else self.version)

    def read(self, response: Response, known: Mapping[bytes, str]) -> Update:
        assert isinstance(response, discovery_pb2.DiscoveryResponse)
        self._nonce, self._due = response.nonce, True
        return read_state_of_the_world(response, self.kind, known)

    def ack(self, update: Update) -> Request | None:
        self.version = update.version
        return self._answer(update.resources)

    def nack(self, update: Update, text: str, held: Collection[str] = ()) -> Request | None:
        return self._answer(held, text)

    def refresh(self) -> Request | None:
        return self._request("") if self._is_open and self._asked and not self._due else None

    def _answer(self, held: Collection[str], text: str = "") -> Request | None:
        """Return nothing when the stream of the response is gone: its nonce means nothing on another one."""
        if more := (frozenset(held) - self._held) & self.names:
            self._held |= more
        if not self._due:
            return None
        self._due = False
        return self._request(self.version, text)

    def _returned(self) -> bool:
        """Whether a name is wanted again that this stream had before, and that is not held any more."""
        return bool((self.names & self._before) - self._held - self._last)

    def _request(self, version: str, text: str = "") -> Request:
        self._asked = True
        if self._form.names is not self.names:
            self._form = _Form(self.names, self.kind.url)
        if self._last is not self.names:
            self._before |= self.names
            self._last = self.names
        return self._form.filled(version, self._nonce, text)


class _Form:
    """A request of the state of the world with its names in order, which only a change of the names makes again."""

    def __init__(self, names: frozenset[str], url: str) -> None:
        self.names = names
        self._request = discovery_pb2.DiscoveryRequest(resource_names=sorted(names), type_url=url)

    def filled(self, version: str, nonce: str, text: str) -> Request:
        request = discovery_pb2.DiscoveryRequest(version_info=version, response_nonce=nonce, error_detail=_detail(text))
        request.MergeFrom(self._request)
        filled: Request = request
        return filled


class Incremental(_Wanted):
    """A subscription whose requests and responses have only what differs. versions: of the resources that are held."""

    def __init__(self, kind: ResourceType, names: Collection[str] = ()) -> None:
        super().__init__(kind, names)
        self.versions: dict[str, str] = {}
        self._known: frozenset[str] = frozenset()  # names that the server was asked for on this stream

    def open(self) -> Request | None:
        self._begin(True)
        self._known = frozenset()
        return self._first() if self._interested else None

    def want(self, names: Collection[str]) -> Request | None:
        self._set(names)
        if not self.everything:
            for name in self.versions.keys() - self.names:
                del self.versions[name]
        if not self._is_open:
            return None
        if not self._asked:
            return self._first() if self._interested else None
        more, less = self._asked_for() - self._known, self._known - self._asked_for()
        self._known = self._asked_for()
        if not more and not less:
            return None
        request: Request = discovery_pb2.DeltaDiscoveryRequest(
            type_url=self.kind.url,
            resource_names_subscribe=sorted(more),
            resource_names_unsubscribe=sorted(less),
        )
        return request

    def read(self, response: Response, known: Mapping[bytes, str]) -> Update:
        assert isinstance(response, discovery_pb2.DeltaDiscoveryResponse)
        self._nonce, self._due = response.nonce, True
        return read_delta(response, self.kind, known)

    def ack(self, update: Update) -> Request | None:
        self.version = update.version
        self._hold(update, update.resources)
        return self._answer()

    def nack(self, update: Update, text: str, held: Collection[str] = ()) -> Request | None:
        self._hold(update, held)
        return self._answer(text)

    def refresh(self) -> Request | None:
        """Return nothing: what differs comes by itself."""
        return None

    def _hold(self, update: Update, names: Collection[str]) -> None:
        for name in names:
            if self.everything or name in self.names:
                self.versions[name] = update.resources[name].version
        for name in update.removed:
            self.versions.pop(name, None)

    def _asked_for(self) -> frozenset[str]:
        return frozenset(("*",)) if self.everything else self.names

    def _first(self) -> Request:
        self._asked = True
        self._known = self._asked_for()
        request: Request = discovery_pb2.DeltaDiscoveryRequest(
            type_url=self.kind.url,
            resource_names_subscribe=sorted(self.names),
            initial_resource_versions=self.versions,
        )
        return request

    def _answer(self, text: str = "") -> Request | None:
        if not self._due:
            return None
        self._due = False
        request: Request = discovery_pb2.DeltaDiscoveryRequest(
            type_url=self.kind.url, response_nonce=self._nonce, error_detail=_detail(text)
        )
        return request


def _detail(text: str) -> status_pb2.Status | None:
    if not text:
        return None
    return status_pb2.Status(code=code_pb2.INVALID_ARGUMENT, message=text[:MAX_DETAIL])
