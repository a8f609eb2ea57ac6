"""
The order in which one client gets its answers.

Lives here: `ResponseOrder`, for protocols that answer in the order of the requests; `ChannelOrder`, for those with
channels (`ICodec.lanes`). A client whose answers go by id alone has neither. Does not: which requests may begin
(`client_requests`); how many bytes may wait here (`client_budget`).
"""

from __future__ import annotations

from typing import Protocol

from twisted.python.failure import Failure

from metaproxy.interfaces import ICodec
from metaproxy.message import Correlation, Written
from metaproxy.proxy.client_budget import ClientBudget
from metaproxy.proxy.push import Push
from metaproxy.proxy.roles import ExchangeStream, Network, OpenExchange


class PlacedAnswer:
    """What the codec answered by itself: a place in the order of answers, and no exchange."""

    __slots__ = ("data",)

    def __init__(self, data: Written) -> None:
        self.data: Written | None = data


class PlacedEvent(PlacedAnswer):
    """A push that came behind answers which filters still keep: its place is behind these."""

    __slots__ = ()


class OrderedClient(Protocol):
    """A `downstream.Downstream`, as the order of its answers sees it."""

    @property
    def network(self) -> Network: ...

    def write(self, data: Written) -> None: ...

    def keep(self, size: int) -> None:
        """An answer of so many bytes waits for the one before it."""

    def catch_up(self) -> None:
        """Fewer bytes wait than before."""


class ResponseOrder:
    """
    First asked, first answered. places: what is answered next stands first (a list, as an empty deque takes
    760 bytes, and there are as many of these as clients). `downstream` appends each exchange when it
    begins, and takes it off itself when it is complete and first: that happens for each message.
    """

    __slots__ = ("_budget", "_client", "_writing", "places")

    channels = False

    def __init__(self, client: OrderedClient, budget: ClientBudget) -> None:
        self._client = client
        self._budget = budget
        self._writing = False
        self.places: list[OpenExchange | PlacedAnswer] = []

    def answer(self, data: Written) -> None:
        """The codec answered by itself, behind what has a place."""
        self._place(PlacedAnswer(data), len(data))

    def finished(self, exchange: OpenExchange) -> None:
        """It is complete, and others stand before it."""
        self._client.keep(len(exchange.data or b""))

    def answer_waits(self, exchange: OpenExchange) -> None:
        """A filter takes its time with an answer, which has its place already."""

    def event(self, data: Written) -> None:
        """A push comes while something has a place."""
        place = self._answered()
        if not place:
            self._client.write(data)
            return
        self.places.insert(place, PlacedEvent(data))
        self._client.keep(len(data))

    def event_open(self, push: OpenExchange) -> None:
        """The head of a push whose chunks follow."""
        self.places.insert(self._answered() if self.places else 0, push)

    def at_front(self, exchange: OpenExchange) -> bool:
        """Whether all answers before it are written. Its chunks may go to the client then."""
        return not self.places or self.places[0] is exchange

    def cut_behind(self, exchange: OpenExchange, under_way: list[OpenExchange]) -> list[OpenExchange]:
        """
        Nothing is sent behind the answer of this one. Return those that get no answer by that. under_way: all others.
        """
        behind: list[OpenExchange] = []
        while (last := self.places[-1]) is not exchange:
            self.places.pop()
            if not isinstance(last, PlacedAnswer):
                behind.append(last)
        behind.reverse()
        return behind

    def write_on(self) -> None:
        """Write the answers that only waited for the one before them."""
        if self._writing:  # a stream at the front has ended: the loop below goes on
            return
        self._writing = True
        places = self.places
        front: object = None
        while places and places[0] is not front:
            self._write_ready()
            if not places:
                break
            front = first = places[0]
            if not isinstance(first, PlacedAnswer) and first.stream is not None:
                try:
                    first.stream.at_front()
                except BaseException:
                    first.broke(Failure())
                self._stream_at_front(first, first.stream)
        self._writing = False
        self._client.catch_up()

    def _write_ready(self) -> None:
        """Write the answers in front that are there: all at once, as taking each off a list would cost its length."""
        ready = 0
        for place in self.places:
            if (data := place.data) is None:
                break
            ready += 1
            self._budget.behind -= len(data)
            if data:
                self._client.write(data)
        del self.places[:ready]

    def _stream_at_front(self, exchange: OpenExchange, stream: ExchangeStream) -> None:
        """A stream keeps its place to its end: its chunks are in one row with the other answers."""

    def _place(self, answer: PlacedAnswer, size: int) -> None:
        self.places.append(answer)
        self._client.keep(size)

    def _answered(self) -> int:
        """How many places, from the front on, the server has answered or pushed: filters look at the answers."""
        first = self.places[0]
        if not isinstance(first, Push) and (isinstance(first, PlacedAnswer) or first.response is None):
            return 0
        place = len(self.places)
        for waiting in reversed(self.places):
            if isinstance(waiting, PlacedEvent | Push) or (
                not isinstance(waiting, PlacedAnswer) and waiting.response is not None
            ):
                break
            place -= 1
        return place


class ChannelOrder(ResponseOrder):
    """
    Answers pass as they come, for they go by id; but nothing passes an answer that a filter still has, as both may be
    of one channel. So there are places only from then on, and until it is written.
    """

    __slots__ = ()

    channels = True

    def answer(self, data: Written) -> None:
        if data:
            self._client.write(data)

    def finished(self, exchange: OpenExchange) -> None:
        data = exchange.data or b""
        if exchange in self.places:
            self._client.keep(len(data))
        elif data:
            self._place(PlacedAnswer(data), len(data))

    def answer_waits(self, exchange: OpenExchange) -> None:
        if exchange not in self.places:
            self.places.append(exchange)

    def event(self, data: Written) -> None:
        self._place(PlacedEvent(data), len(data))

    def event_open(self, push: OpenExchange) -> None:
        if self.places:
            self.places.append(push)

    def at_front(self, exchange: OpenExchange) -> bool:
        """Whether all before it are written. It gives its place up then: its session keeps the order of a channel."""
        places = self.places
        if not places:
            return True
        if exchange not in places:
            places.append(exchange)
        if places[0] is not exchange:
            return False
        del places[0]
        if places:
            self._client.network.soon(self.write_on)
        return True

    def cut_behind(self, exchange: OpenExchange, under_way: list[OpenExchange]) -> list[OpenExchange]:
        return under_way  # its channel may be that of any other

    def _stream_at_front(self, exchange: OpenExchange, stream: ExchangeStream) -> None:
        if self.places and self.places[0] is exchange and stream.begun:
            del self.places[0]


def is_ordered(codec: ICodec) -> bool:
    return bool(codec.ordered or codec.correlation is Correlation.FIFO)


def order_of(codec: ICodec, client: OrderedClient, budget: ClientBudget) -> ResponseOrder | None:
    """Return what keeps the order of this codec's answers to one client; None: they go by id alone."""
    if is_ordered(codec):
        return ResponseOrder(client, budget)
    return ChannelOrder(client, budget) if getattr(codec, "lanes", False) else None
