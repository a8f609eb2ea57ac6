"""
`metadata_exchange`: proxies on both sides of a call tell each other who they are.

Lives here: who sends it to whom, and when. Does not: what is sent (`peer_metadata`), metrics (`istio_stats`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from zope.interface import implementer

from metaproxy.filters.istio.peer_metadata import ID_KEY, KEY, Node, encode
from metaproxy.interfaces import IExchange, IOnRequest, IOnResponse
from metaproxy.units import Option

Direction = Literal["inbound", "outbound", "unspecified"]


@implementer(IOnRequest, IOnResponse)
class MetadataExchange:
    """Puts this node's metadata into requests or answers, as Istio's proxies do."""

    def __init__(
        self,
        node: Node,
        direction: Annotated[
            Direction,
            Option("`outbound`: this node's metadata are put into requests; `inbound`: into answers."),
        ] = "unspecified",
        strip: Annotated[
            bool,
            Option(
                "Remove what the other side sent before the application sees it: inbound from requests, outbound from "
                "answers."
            ),
        ] = False,
    ) -> None:
        self._id = node.id
        self._text = encode(node.metadata)
        self._outbound = direction == "outbound"
        self._inbound = direction == "inbound"
        self._strip = strip

    def on_request(self, exchange: IExchange) -> None:
        if self._outbound:
            self._tell(exchange)
        elif self._inbound and self._strip:
            exchange.remove(KEY)
            exchange.remove(ID_KEY)

    def on_response(self, exchange: IExchange) -> None:
        if self._inbound:
            self._tell(exchange)
        elif self._outbound and self._strip:
            exchange.remove(KEY)
            exchange.remove(ID_KEY)

    def _tell(self, exchange: IExchange) -> None:
        exchange.set(KEY, self._text)
        exchange.set(ID_KEY, self._id)
