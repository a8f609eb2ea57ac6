"""
One request and what answers it: the path that every exchange of every protocol takes.

    begin -> match a route -> on_request, first to last -> pick cluster, endpoint, connection -> upstream
    upstream -> answered -> on_response, last to first -> client (id and order restored) -> complete

    anything may end it early: a filter's Reply, no route, no endpoint, a limit, a time-out, either side gone.
    Whatever the end: `complete` runs exactly once, then on_complete of every filter.

Lives here: `Exchange`. Does not: sockets, connections, protocols; the hooks of filters (`filter_chain`), its time
(`request_timeout`), the bytes of an answer that the proxy makes (`local_answer`), what is known of it
(`exchange_facts`).

Longer than most modules: the whole path stands here, so that it can be read from top to bottom.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import classImplements

from metaproxy.cluster.cluster import NODE, Cluster
from metaproxy.cluster.retry import RetryPolicy
from metaproxy.cluster.routes import Target
from metaproxy.counts import TargetCounts, counter
from metaproxy.interfaces import ICompletedExchange
from metaproxy.message import (
    Chunk,
    Ending,
    ErrorKind,
    FinalFrame,
    FrameError,
    Kind,
    Message,
    Mutation,
    Reply,
    Side,
    Written,
)
from metaproxy.proxy import local_answer
from metaproxy.proxy.attempt import Attempt
from metaproxy.proxy.culprit import culprit
from metaproxy.proxy.filter_chain import ask, failed, tell
from metaproxy.proxy.mirror import Mirror
from metaproxy.proxy.overload import OverloadMonitor
from metaproxy.proxy.owners import Owners
from metaproxy.proxy.pool import Pool, pin_key, pool_of
from metaproxy.proxy.request_timeout import TimedExchange
from metaproxy.proxy.retry_state import RetryState
from metaproxy.proxy.roles import ExchangeStream, Try, UpstreamConnection
from metaproxy.proxy.snapshot import RouteReply, Template
from metaproxy.proxy.split_request import SplitRequest
from metaproxy.proxy.transaction_abort import refuse

log = Logger(__name__)

_ERROR = Kind.ERROR
_STREAM_OPEN = Kind.STREAM_OPEN


class Forwarded(Mutation):
    """Changes to what a filter sends in the place of the request."""

    __slots__ = ("message",)

    def __init__(self, message: Message, changes: Mutation | None) -> None:
        super().__init__(changes.set if changes is not None else None, changes.remove if changes is not None else ())
        self.message = message


class Exchange(TimedExchange):
    """The path of one exchange: see the top of this module."""

    __slots__ = ()

    # -- the path up

    def begin(self, overload: OverloadMonitor | None = None) -> None:
        """overload: while the process has too much to do, what tells whether this one is refused."""
        snapshot = self.snapshot
        message = self.message
        try:
            routes = snapshot.routes
            route = routes.match(message, self.client.facts)
        except FrameError as error:
            self.local(Reply(ErrorKind.BAD_REQUEST, str(error)))
            return
        if route is not None:
            self.matched_route = route
        else:
            route = self.matched_route
        if overload is not None and overload.sheds(route.priority, self.client):
            self.local(Reply(ErrorKind.OVERLOAD, overload.text()))
        elif route.action.on_request:
            ask(self)
        else:
            self.forward()

    def forward(self) -> None:
        """Sends it to its target, which is picked now unless that was done before: it was held, or falls back."""
        route = self.matched_route
        action = route.action
        if action.reply is not None:
            reply = action.reply
            self.local(reply.filled(self) if isinstance(reply, RouteReply) else reply)
            return
        client = self.client
        target = self.target
        try:
            if target is None:
                if action.split_by_hash is None:
                    target = route.pick()
                else:  # compiled, `self.message.get` would be no bound method
                    target = route.stick(getattr(self.message, "get"), client.facts)  # noqa: B009
                self.target = target
            cluster = target.cluster
            message = self.message
            pin = client.session_pin
            if pin is None and client.pinned_by_cluster:
                profile = getattr(message, "profile")  # noqa: B009  # see Message.with_frame
                pin = client.pinned_by_cluster.get(pin_key(cluster, None, profile))
            if (
                pin is None
                and (cluster.paused_by is not None or cluster.balancer is None or cluster.lacking is not None)
                and self._detained(cluster)
            ):
                return
            changes = self._changes
            if action.request is not None or changes is not None:
                message = self._changed(message, cast("Template | None", action.request))
            if (cluster.splits or (pin is not None and self._astray(cluster, pin))) and self._split(
                cluster, message, pin
            ):
                return
            if pin is not None and cluster is not pin.pool.cluster and cluster.name != pin.pool.cluster.name:
                cluster = self._follow(pin)
            if action.retry is not None and pin is None:
                self.watch()
                self.attempt = RetryState(self, message, cluster, cast(RetryPolicy, action.retry))
                self.attempt.start()
                self._mirror(message)
                return
            endpoint = (
                pin.endpoint
                if pin is not None
                else cluster.pick(message, action.hash_keys, action.subset, client.facts)
            )
        except FrameError as error:
            self.local(Reply(ErrorKind.BAD_REQUEST, str(error)))
            return
        if endpoint is None:
            self._changes = changes
            self._no_endpoint(cluster)
            return
        breaker = cluster.breaker
        if breaker.requests >= breaker.max_requests:
            cluster.counts.overflow_requests += 1
            self.local(Reply(ErrorKind.OVERLOAD, f"cluster {cluster.name}: too many requests (breaker.max_requests)"))
            return
        self.watch()
        attempt = Attempt.__new__(Attempt)
        attempt.prepare(self, message, cluster, endpoint)
        self.attempt = attempt
        self.endpoint = endpoint
        if pin is not None:
            pin.submit(attempt)
        else:
            pool: Pool | None = endpoint.pool  # type: ignore[assignment]  # only pool_of makes some
            if pool is None:
                pool = pool_of(endpoint, cluster, client.network)
            pool.start(attempt, client)
        if action.mirror is not None:
            self._mirror(message)

    def _mirror(self, message: Message) -> None:
        mirror = cast("Mirror | None", self.matched_route.mirror)
        if mirror is not None:
            mirror.copy(self, message)

    def _detained(self, cluster: Cluster) -> bool:
        """Held until the cluster goes on, or sent elsewhere as the cluster has no endpoint at all."""
        if cluster.paused_by is not None:
            self.watch()
            cluster.paused_by.take(self)
            return True
        if cluster.lacking is not None:
            if cluster.has(self.matched_route.action.subset):
                return False
            self.watch()
            cluster.lacking.take(self)
            return True
        if cast("Target", self.target).fallback is None:
            return False
        self._no_endpoint(cluster)
        return True

    def _no_endpoint(self, cluster: Cluster) -> None:
        """Goes to the next cluster of `fallback:`, if there is one; waits where what it needs may come back."""
        lacking = cluster.lacking if cluster.layout is not None and cluster.balancer is not None else None
        if lacking is not None and NODE not in self.client.facts:  # of one node a client must hear that it is not there
            self.watch()
            lacking.take(self)
            return
        cluster.counts.no_endpoint += 1
        target = cast("Target", self.target)
        if target.fallback is None:
            self.local(Reply(ErrorKind.NO_ENDPOINT, f"no usable endpoint in cluster {cluster.name}"))
            return
        target.counts.fallbacks += 1
        self.target = target.fallback
        self.forward()

    def released(self, cluster: Cluster | None) -> None:
        """Its cluster goes on. cluster: what has its name now, None for nothing. It may have ended meanwhile."""
        target = self.target
        if self.outcome or target is None:
            return
        if cluster is not None and cluster is not target.cluster:
            self.target = type(target)(cluster, target.weight, target.counts, target.fallback)
        self.forward()

    def _astray(self, cluster: Cluster, pin: UpstreamConnection) -> bool:
        """Whether the client's own connection is in another cluster than all that the route leads to."""
        return cluster.name != pin.pool.cluster.name and self._target_at(pin) is None

    def _target_at(self, pin: UpstreamConnection) -> Target | None:
        """The route's target that the client's own connection leads to, if there is one."""
        target: Target | None
        for target in self.matched_route.targets:
            while target is not None:
                if target.cluster.name == pin.pool.cluster.name:
                    return target
                target = target.fallback
        return None

    def _follow(self, pin: UpstreamConnection) -> Cluster:
        """Count and log the request where it goes: to the client's own connection, whatever the route drew."""
        cluster, drawn = pin.pool.cluster, cast("Target", self.target)
        self.target = self._target_at(pin) or type(drawn)(cluster, drawn.weight, drawn.counts)
        return cluster

    def _split(self, cluster: Cluster, message: Message, pin: UpstreamConnection | None) -> bool:
        """Sends a request to all endpoints that own its keys; False when it goes to one, as most do."""
        subset = self.matched_route.action.subset
        if cluster.splits and cluster.layout is None:
            by_key = (cluster.codec.hash_aliases.get("key", "key"),)
            if (self.matched_route.action.hash_keys or cluster.hash_keys) != by_key:
                return False  # endpoints are not chosen by the key
        parts = cluster.codec.split(message, Owners(cluster, subset, pin))
        if parts is None or (pin is not None and parts):
            return False
        if isinstance(parts, bytes):
            self.local(Reply(None, frame=parts))
            return True
        if not parts:
            self.local(Reply(ErrorKind.UNSUPPORTED, "", name="CROSSSLOT"))
            return True
        if cluster.breaker.requests + len(parts) > cluster.breaker.max_requests:
            cluster.counts.overflow_requests += 1
            self.local(Reply(ErrorKind.OVERLOAD, f"cluster {cluster.name}: too many requests (breaker.max_requests)"))
            return True
        self.watch()
        self.attempt = SplitRequest(self, message, parts, cluster)
        self.attempt.start()
        self._mirror(message)
        return True

    def _changed(self, message: Message, template: Template | None) -> Message:
        """A copy of `message` with the route's mutation and then the filters' own applied. May raise FrameError."""
        changes, self._changes = self._changes, None
        codec = self.snapshot.codec
        if type(changes) is Forwarded:
            message, codec = changes.message, cast("Target", self.target).cluster.codec
            if template is None and not changes.set and not changes.remove:
                return message
        if codec.mutable:
            settable = getattr(codec, "settable", ())
            found = {key: changes.set[key] for key in settable if key in changes.set} if changes is not None else {}
            return message.with_frame(codec.mutate(message, Mutation(found))) if found else message
        if template is None:
            mutation = cast(Mutation, changes)
        else:
            mutation = template.fill(self)
            if changes is not None:
                mutation = Mutation({**mutation.set, **changes.set}, (*mutation.remove, *changes.remove))
        frame = codec.mutate(message, mutation)
        return message.with_frame(frame)

    # -- the path down (Owner)

    def answered(self, attempt: Try, response: Message) -> None:
        attempt.done = True  # Attempt.finish, inlined
        if attempt.open:
            attempt.abandon_request()
        attempt.cluster.breaker.requests -= 1
        endpoint = attempt.endpoint
        endpoint.active -= 1
        counts = endpoint.counts
        if response.kind is _ERROR:
            counts.errors += 1
            if endpoint.monitor is not None:
                endpoint.monitor.erred()
        else:
            counts.successes += 1
        self.take(response)

    def take(self, response: Message) -> None:
        """The answer, from one endpoint or merged of several."""
        self.response = response
        action = self.matched_route.action
        hooks = action.on_response
        if hooks:
            self._changes = None
            tell(self, len(hooks) - 1)
        elif action.response is not None:
            self.deliver()
        else:
            # The common end, without detours.
            client = self.client
            try:
                self.data = data = client.session.send(response, self.message.id)
            except FrameError as error:
                self.local(Reply(ErrorKind.BAD_RESPONSE, str(error)))
                return
            self.response_bytes = len(data)
            self.complete("error" if response.kind is _ERROR else "ok")

    # -- an answer that is a stream (Requester, StreamExchange)

    def redirected(self, attempt: Try) -> None:
        self.endpoint = attempt.endpoint

    def sending(self, attempt: Try) -> None:
        cast(ExchangeStream, self.stream).sending(attempt)

    def takes_more(self, attempt: Try) -> None:
        cast(ExchangeStream, self.stream).server_has_room()

    def interim(self, attempt: Try, message: Message) -> None:
        if self.stream is None or not self.stream.begun:
            self.write(message)

    def opened(self, attempt: Try, head: Message) -> None:
        if self.deadlines is not None:
            self.deadlines.forget(self, None)
            self.deadlines = None
        self.client.open_stream(self)
        cast(ExchangeStream, self.stream).opened(attempt, getattr(head, "duplex", False))
        self.response = head
        hooks = self.matched_route.action.on_response
        if hooks:
            self._changes = None
            tell(self, len(hooks) - 1)
        else:
            self.deliver()

    def adopt(self, attempt: Try) -> None:
        attempt.owner = self
        self.attempt = attempt
        self.endpoint = attempt.endpoint

    def chunk(self, attempt: Try, chunk: Chunk) -> None:
        cast(ExchangeStream, self.stream).from_server(chunk)

    def chunk_failed(self, hook: Callable[..., object], failure: Failure) -> None:
        failed(self, hook, failure)

    def write(self, message: Message) -> None:
        """Sends the client a head, a chunk, or what comes before an answer."""
        client = self.client
        try:
            data = client.session.send(message, self.message.id)
        except FrameError as error:
            self.local(Reply(ErrorKind.BAD_RESPONSE, str(error)))
            return
        if message.kind is _STREAM_OPEN and (alteration := getattr(self, "_alteration", None)) is not None:
            data = alteration[0](bytes(data))
        if data:
            client.write(data)
        self.response_bytes += max(len(data), len(message.frame))  # what waits for the client's window counts too
        if isinstance(message, Chunk) and not message.final and client.session.flow != "stream":
            client.half_close()

    def stream_ended(self) -> None:
        """Both sides have said all."""
        stream = cast(ExchangeStream, self.stream)
        failed = stream.failed or getattr(self.response, "failed", False)
        self._end_attempt(stream, failed)
        self.data = b""
        self.complete("error" if failed else "ok")

    def _end_attempt(self, stream: ExchangeStream, failed: bool) -> None:
        attempt = stream.attempt
        if attempt is not None and not attempt.done:
            attempt.endpoint.answered(failed)
            attempt.ended()

    def _end_answer(self, stream: ExchangeStream) -> None:
        """A whole message answers the client: if the server's was a stream, a filter has it, or wants no more of it."""
        if stream.answered:
            self._end_attempt(stream, stream.failed)
        else:
            self._stop()

    def _abort(self, reply: Reply) -> None:
        """The client has some of the answer: it is cut off."""
        self._stop()
        self.reply_kind = kind = reply.kind or ErrorKind.RESET
        self.details = f"{self.details}; {reply.details}" if self.details else reply.details
        self.data = b""
        self.complete(kind.value)
        self.client.give_up(self, kind, reply.text)

    # -- the rest of the way down

    def deliver(self) -> None:
        response = cast(Message, self.response)
        try:
            template = cast("Template | None", self.matched_route.action.response)
            if template is not None or self._changes is not None:
                response = self._changed(response, template)
            if response.kind is _STREAM_OPEN:
                cast(ExchangeStream, self.stream).deliver(response)
                return
            self.data = self.client.session.send(response, self.message.id)
        except FrameError as error:
            self.local(Reply(ErrorKind.BAD_RESPONSE, str(error)))
            return
        if self.stream is not None:
            self._end_answer(self.stream)
        outcome = "error" if response.kind is _ERROR else "ok"
        alteration = getattr(self, "_alteration", None)  # a slot that is filled when a filter asks for it
        if alteration is not None:
            self._alter(outcome, *alteration)
            return
        self.response_bytes = len(self.data)
        self.complete(outcome)

    def gather(self, most: int) -> Deferred[list[Chunk] | None]:
        side, message = (Side.CLIENT, self.message) if self.response is None else (Side.SERVER, self.response)
        if message.kind is not _STREAM_OPEN:
            return succeed([])
        return cast(ExchangeStream, self.stream).collect(side, most)

    def forward_as(self, message: Message) -> None:
        self._changes = Forwarded(message, self._changes)

    def answer_as(self, message: Message) -> None:
        self.response = message

    def alter(self, change: Callable[[bytes], bytes], ending: Ending | None = None) -> None:
        self._alteration = change, ending

    def _alter(self, outcome: str, change: Callable[[bytes], bytes], ending: Ending | None) -> None:
        try:
            data = change(bytes(cast("Written", self.data)))
            if not isinstance(data, bytes):
                raise TypeError(f"it gave {data!r:.100}, which is not bytes")
        except BaseException:
            failed(self, change, Failure())
            return
        self.data = data
        self.response_bytes = len(data)
        self._end(outcome, ending)

    def _end(self, outcome: str, ending: Ending | None) -> None:
        """Completes, and ends the client's connection if that is asked for."""
        if ending is Ending.CLOSE:
            self.client.end_behind(self)
        self.complete(outcome)
        if ending is Ending.RESET:
            self.client.reset()

    def sent(self, attempt: Try) -> None:
        self.complete("ok" if self.message.kind is Kind.CONNECT else "oneway")

    def failed(self, attempt: Try | None, kind: ErrorKind, text: str) -> None:
        self.local(Reply(kind, text))

    # -- other ends

    def time_out(self) -> None:
        """Called by the deadlines' queue."""
        self.deadlines = None
        if self.outcome:
            return
        self.client.network.turn.refresh()
        if self.client.passed_over(self):
            # Its server answered what came behind it: it wanted no answer, and its client waits for none.
            self._stop()
            self.complete("oneway")
            return
        self.run_out(f"no answer within {self.allowed():g} s")

    def run_out(self, text: str) -> None:
        if self.attempt is not None and any(one.paused_by for one in self.attempt.connections()):
            pass  # a client that reads slowly holds up the answers, not the server
        elif self.endpoint is not None:
            self.endpoint.timed_out()
        elif isinstance(self.attempt, SplitRequest):
            self.attempt.timed_out()
        if self.stream is None or not self.stream.begun:
            self._stop()
        self.local(Reply(ErrorKind.TIMEOUT, text))

    def abandon(self, outcome: str) -> None:
        """The client is gone: there is no one to answer."""
        if not self.outcome:
            self._stop()
            self.complete(outcome)

    def _stop(self) -> None:
        if self.attempt is not None:
            self.attempt.cancel()

    def local(self, reply: Reply) -> None:
        """The proxy answers by itself."""
        if not self.outcome and not refuse(self, reply):
            self.answer_locally(reply)

    def refuse_by(self, attempt: Try) -> None:
        """What goes to the server in its place is on its way."""
        self.watch()
        self.endpoint = attempt.endpoint
        self.attempt = attempt

    def revoke_by(self, attempt: Try) -> float:
        """As `refuse_by`, of what the server has: its own time is over, or may be any moment."""
        if self.deadlines is not None:
            self.deadlines.forget(self, None)
            self.deadlines = None
        self.endpoint = attempt.endpoint
        self.attempt = attempt
        return self.allowed()

    def answer_locally(self, reply: Reply) -> None:
        if self.outcome:
            return
        if self.stream is not None and self.stream.begun:
            self._abort(reply)
            return
        self._stop()
        if self.outcome:
            return  # the server connection was its client's own, which has ended with it
        kind = reply.kind
        self.reply_kind = kind
        # Behind what filters noted of it.
        self.details = f"{self.details}; {reply.details}" if self.details else reply.details
        self.response = None
        self.data = local_answer.frame(self, reply)
        self.response_bytes = len(self.data)
        ending = Ending.CLOSE if type(self.data) is FinalFrame else reply.ending
        self._end(self.reply_kind.value if self.reply_kind is not None else "ok", ending)

    def broke(self, failure: Failure) -> None:
        """
        Code that was called for this exchange raised what it may not raise: the plugin is named and counted, and the
        exchange ends at once, as INTERNAL.
        """
        listener = self.client.listener
        listener.plugin_failed(culprit(failure, f"codec {self.snapshot.codec.name}"), failure)
        if self.outcome:
            return
        reply = Reply(ErrorKind.INTERNAL, "a plugin of the proxy failed")
        try:
            self.answer_locally(reply)
        except BaseException:
            listener.plugin_failed(culprit(Failure(), "metaproxy"), Failure())
            self.reply_kind, self.data = ErrorKind.INTERNAL, b""
            self._end("internal", Ending.CLOSE)

    def complete(self, outcome: str) -> None:
        """The end, once. `data` is what the client gets; None when it is gone."""
        if self.outcome:
            return
        client = self.client
        self.outcome = outcome
        self.attempt = None  # it points back here: without the cycle memory is free at once, not at the next collection
        self.ended = now = client.turn.now
        if self.deadlines is not None:
            self.deadlines.forget(self, None)
        route = self.matched_route
        target = self.target
        counts = target.counts if target is not None else route.reply_target.counts
        size = len(self.message.frame)
        if self.stream is None:
            endpoint = self.endpoint
            of_endpoint = endpoint.counts.latency if endpoint is not None else None
            counter.ended(counts, outcome, size, self.response_bytes, now - self.started, of_endpoint)
        else:
            counts.count(outcome)
            counts.request_bytes += size
            counts.response_bytes += self.response_bytes
            self.stream.ended(counts)
        for hook in route.action.on_complete:
            try:
                hook(self)
            except BaseException:
                client.listener.filter_failed(hook, Failure())
        client.finished(self)

    def counts(self) -> TargetCounts:
        """Where this exchange is counted."""
        target = self.target
        return target.counts if target is not None else self.matched_route.reply_target.counts


classImplements(Exchange, ICompletedExchange)
