"""A filter: requests of tenants that are not on the list are refused, and each answer tells who let it pass."""

from zope.interface import implementer

from metaproxy.interfaces import IExchange, IFilter, IOnRequest
from metaproxy.message import ErrorKind, Reply
from metaproxy.plugins import Declaration


@implementer(IOnRequest)
class Tenants:
    """allowed: the tenants that may pass; key: the metadata key that names the tenant."""

    def __init__(self, allowed: list[str], key: str = "tenant") -> None:
        self._allowed = frozenset(allowed)
        self._key = key

    def on_request(self, exchange: IExchange) -> Reply | None:
        if exchange.get(self._key) in self._allowed:
            return None
        return Reply(ErrorKind.DENIED, f"{self._key} is not allowed here")


tenants = Declaration(IFilter, "tenants", Tenants)
