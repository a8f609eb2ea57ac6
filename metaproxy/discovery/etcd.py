"""
Endpoints from keys of etcd, watched.

Lives here: `Etcd`: its options, and which keys are a cluster's. Does not: the keys, which clusters share (`etcd_keys`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from metaproxy.discovery.endpoint_list import EndpointList, Failed, KeepEmpty, Settle, Update, Where
from metaproxy.discovery.etcd_api import Api
from metaproxy.discovery.etcd_keys import MAX_DEPTH, Keys
from metaproxy.discovery.http_registry import NO_SECRET, Calls, Password, Servers, Url, Urls, User, urls_of
from metaproxy.discovery.instances import Instance, read_entry
from metaproxy.discovery.registry_tls import FILES, RegistryCalls, TlsOption, tls_of
from metaproxy.discovery.shared import Shared
from metaproxy.interfaces import IDiscovery
from metaproxy.units import Option, Seconds

_NO_SETTLE = Seconds(0.0)
_keys: Shared[Keys] = Shared()


@implementer(IDiscovery)
class Etcd:
    """
    Endpoints from the keys below a prefix, one server each.

    Clusters with the same servers and `root` share one watch, from the revision that was read first.
    """

    files = FILES
    """The options that name files."""

    def __init__(
        self,
        target: Annotated[str, Option("The prefix of the keys, such as /services/demo/.", least=1, most=1024)],
        clock: IReactorTime,
        server: Url = "",
        servers: Urls = None,
        where: Where = None,
        keep_empty: KeepEmpty = False,
        settle: Settle = _NO_SETTLE,
        root: Annotated[
            str,
            Option(
                "A prefix of the prefix: what is read and watched, for all clusters below it.",
                default="the folder above `target`; `target` itself when that is `/`",
            ),
        ] = "",
        user: User = "",
        password: Password = NO_SECRET,
        tls: TlsOption = None,
    ) -> None:
        self._prefix = target if target.endswith("/") else f"{target}/"
        if self._prefix.count("/") > MAX_DEPTH:
            raise ValueError(f"{target!r:.100} is more than {MAX_DEPTH} folders deep")
        above = self._prefix.rstrip("/").rpartition("/")[0]
        self._root = root or (f"{above}/" if above.strip("/") else self._prefix)
        if not self._prefix.startswith(self._root):
            raise ValueError(f"root: {root!r} is no beginning of {target!r}")
        self._urls = urls_of(server, servers)
        self._login = user, password
        self._clock = clock
        self._tls = tls_of(tls)
        self._endpoints = EndpointList(clock, where, keep_empty, settle)
        self._keys: Keys | None = None
        self._read: dict[str, tuple[bytes, list[Instance]]] = {}

    @property
    def problem(self) -> str:
        return self._endpoints.problem

    @property
    def _key(self) -> object:
        return self._urls, self._login, self._root, self._tls and (self._tls.paths, self._tls.server_name)

    def calls(self) -> Calls:
        """Return what asks over HTTP."""
        return RegistryCalls(self._clock, self._tls)

    def start(self, update: Update, failed: Failed) -> None:
        self._endpoints.start(update, failed)
        self._keys = _keys.take(self._clock, self._key, self._make)
        self._keys.join(self._prefix, self, self._changed, self._endpoints.away)

    def stop(self) -> None:
        self._endpoints.stop()
        if self._keys is not None:
            self._keys.leave(self._prefix, self)
            self._keys = None
            _keys.release(self._clock, self._key)

    def _make(self) -> Keys:
        api = Api(self._clock, Servers("etcd", self._urls, self.calls()), *self._login)
        return Keys(self._clock, api, self._root)

    def _changed(self, found: Mapping[str, bytes]) -> None:
        """found: the keys below the prefix. Only what differs from what was read before is read again."""
        read: dict[str, tuple[bytes, list[Instance]]] = {}
        for key, value in found.items():
            before = self._read.get(key)
            read[key] = before if before is not None and before[0] == value else (value, self._entry(key, value))
        self._read = read
        self._endpoints.found(one for _, entry in read.values() for one in entry)

    def _entry(self, key: str, value: bytes) -> list[Instance]:
        try:
            return read_entry(value, key.rpartition("/")[2])
        except ValueError as error:
            self._endpoints.failed(f"etcd: {key:.100}: {error}")
            return []
