"""
The contract of a plugin: codecs, sessions, filters, balancers and what the proxy hands to them.

Lives here: the interfaces and, in words, what the proxy promises: when it calls what, in which order, how often.
Does not: any behaviour. `metaproxy.testing` holds this contract as checks that a plugin's tests can run.
Longer than most modules: the whole contract is read, and imported, in one place.

What holds for all of them: the proxy is single-threaded; a call must not block and returns soon; an object that a
configuration names is built once when the configuration is applied, serves until the next one replaces it, and is
asked nothing after its last exchange ended. Times are seconds (float), sizes bytes (int).

Three properties tell protocols apart; a codec declares them and the proxy does the rest:

- *correlation*: answers are found by id, or by order (the proxy keeps the order of each connection).
- *connections*: any upstream connection will do, or each client needs one of its own ('pinned'). A message can change
  that while the connection lives: see `Hold`.
- *streams*: a message is whole, or a head (`Kind.STREAM_OPEN`) whose Chunks follow under the head's `Message.id`. Both
  halves of an exchange are open from their head on; a whole message closes its half at once. The exchange is complete
  when the answer's half was closed, or either side reset it. What flows where is decided by `ISession.flow`.

Two more have their place here. A protocol whose *server speaks first* says so with `server_first`: the proxy then opens
the client's upstream connection when the client arrives, by an exchange of `Kind.CONNECT`. A protocol that logs in or
negotiates on a new upstream connection does so in `ISession.open` and `ready`. A protocol that *has its own topology*
(partitions, replicas, redirects) has its servers asked: `ICodec.inquiry` for what each of them is, `ICodec.layout` for
which of them there are and which of them has what.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from metaproxy.message import Chunk, Ending, ErrorKind, Message, Mutation, Part, Redirect, Reply, Side, Written


class ISession(Interface):
    """
    One connection as a codec sees it: both directions of it, and the state that they share.

    The proxy makes one for each connection, Side.CLIENT towards clients and Side.SERVER towards servers, and drops it
    with the connection. It calls `open` once and first, then `receive` for every read and `send` for every message.
    """

    error = Attribute("FrameError | None: set when the peer broke the protocol; nothing more is parsed after it.")
    ready = Attribute("bool: whether requests may be sent. False only while a login or negotiation is under way.")
    buffered = Attribute("int: bytes of an incomplete frame that the session holds.")
    closing = Attribute("bool: the client said goodbye (QUIT): the proxy closes when its answers are written.")
    reusable = Attribute(
        "bool: an upstream connection may serve another client: no state of the last is left. Asked whenever one gives "
        "it back; if not, `change` may help."
    )

    in_transaction = Attribute(
        "bool: what an upstream connection is kept for by its client is a transaction, and not a subscription or a "
        "temporary table; idle_transaction_timeout counts only then. Optional, True if absent."
    )

    fenced = Attribute(
        "bool: `send` puts a question behind a one-way request (a fence), and what comes before its answer is dropped: "
        "so a server that answers one-way requests can shift no answers. Optional, False if absent."
    )

    owes = Attribute(
        "bool: `owed` has bytes to write on this connection: acknowledgements, window updates. Looked at after each "
        "read and each `credit`. Optional, False if absent."
    )
    flow = Attribute(
        "str: how a peer is made to wait. 'connection': its socket is not read, so that a STREAM_OPEN to a server has "
        "the upstream connection alone; 'stream': `credit` is withheld. Optional, 'connection' if absent."
    )
    capacity = Attribute(
        "int: exchanges at a time that this connection carries, 0 for no limit: what is over it waits (towards servers "
        "for another connection). May change with any read. Optional, 0 if absent."
    )
    welcome = Attribute(
        "Message | None: of a session towards a server, once it is ready: the RESPONSE to a client that logged in at "
        "the proxy (Kind.CONNECT), with what it must know of the server. Optional, None if absent."
    )
    facts = Attribute(
        "Mapping[str, str]: set by the proxy before `open`, if it is there: source.address, tls.alpn ... tls.start is "
        "'required' or 'optional' while the protocol may begin TLS on this connection; endpoint.role: what the server "
        "was, by the cluster's `topology`, when the connection began; endpoint.address: the server's. Optional."
    )
    doors = Attribute(
        "IDoors | None: of a session towards a client, set by the proxy before `open`: how clients reach each node of "
        "the cluster, which they must not be given other addresses of; None: not at all. Optional, where the codec has "
        "no `names_nodes`."
    )
    memory = Attribute(
        "dict: of a session towards a client, set by the proxy before `open` where the codec has `remembers`: what all "
        "sessions of its listener have together, and keep when configurations change. What is in it is the codec's "
        "matter, which bounds it. Optional."
    )
    start_tls = Attribute(
        "bool: TLS begins here, behind what `owed` gives (set `owes` as well). After the handshake the proxy calls "
        "`open` again, whose session sets it back and finds tls.version and others in `facts`. Only where tls.start is "
        "one of these. Optional, False if absent."
    )
    tls_rest = Attribute("bytes: what was read behind the bytes that begin TLS: the handshake's. Optional.")

    unread = Attribute(
        "bool: set by the proxy before `beat`: what the peer sends is not read at the moment, so that its silence says "
        "nothing. Optional."
    )

    cutter = Attribute(
        "Callable[[bytes, int, list[Message]], int] | None: cuts the plain messages of a read faster than the "
        "session's own loop, such as in C. (data, at, messages) -> where it stopped: a message begins at data[at]; it "
        "appends those that are whole and plain, exactly as the loop would make them, and stops at the first that is "
        "incomplete, unusual or wrong, which is left to the loop. Where frames are parts of a message (rows of an "
        "answer), it may pass over them alone. It raises nothing. Called by the session itself; set to None from "
        "outside, it stays None, and the loop cuts all. Optional, None if absent."
    )

    def open(profile: Hashable, credentials: Mapping[str, str]) -> bytes:
        """
        The bytes to write first on a new connection; usually b"". On the client's side (a greeting) only if the codec
        is `server_first` or has `greets`; profile is None and credentials are empty there.

        profile: `Message.profile` of the requests that the connection will carry. credentials: the cluster's
        `credentials:`, may be empty. Answers to these bytes are the session's business and go no further; a
        refused login sets `error`.
        """

    def receive(data: bytes) -> list[Message]:
        """
        The messages that `data` completes, oldest first; [] while the next frame is incomplete.

        Never raises for what a peer sent: the messages before a bad frame are returned and `error` is set. Messages
        and error are the same however the stream was cut into calls. A frame over the bound is refused on its head.
        """

    def send(message: Message, id: int) -> Written:
        """
        The bytes to write on this connection for `message`, which came from the connection on the other side (or was
        made by the codec), under the id `id`. Usually the original frame with the id patched. `message` may be a head,
        a Chunk or an INTERIM where the codec has these; bytes that must wait for the peer's window stay in the session.
        Bytes, or a Spliced, which saves a copy of a large frame of which only the beginning is another. Of a session
        towards a server it is looked up once: one that puts another `send` in its place later goes on with the first.
        """

    def drain() -> bytes:
        """The message that this connection takes no new request; b"" where the protocol has no word for it."""

    def owed() -> bytes:
        """
        What the session has to say by itself, asked whenever `owes`; and the last words to a peer whose bytes broke the
        protocol (`-ERR Protocol error`), in its own form: asked once, after `error` was set; written behind the answers
        to what came before, then the connection closes. Asked as well, without an error, of a client that was idle for
        too long while `buffered` is not 0. Optional: a session without it says nothing.
        """

    def eof() -> list[Message]:
        """
        The peer sends no more. What that completes: an answer that ends with its connection, the half of a tunnel (a
        STREAM_CLOSE, `final` False). What is still open then has failed. Optional: nothing.
        """

    def reset(id: int, kind: ErrorKind | None, text: str) -> bytes | None:
        """
        The bytes that give up the exchange `id`, both of its halves; b"" where silence does. None: the protocol has no
        word for it, so the connection ends. kind: why; None: the answer is whole, and the rest of the request is not
        wanted. The session ignores what the peer still sends under this id. Optional: None.
        """

    def keep(key: Hashable, live: bool) -> None:
        """
        Called by the session itself, towards a server: from now on this server has what the key stands for (a cursor, a
        session, a transaction), or has it no more; requests with this `Message.override_key` go to it. Set by the proxy
        before `open`, where the codec has `keeps_keys`. Optional.
        """

    def farewell(kind: ErrorKind, text: str) -> bytes:
        """
        The last words to a client whose connection ends by no fault of its own while it asks nothing: the server has
        ended the connection that has its state, or it kept a transaction open for too long. Optional: b"".
        """

    def companion(message: Message) -> bytes | Message:
        """
        What tells the server of a request about what is under way on this connection, which came from another client
        (Hold.COMPANION): bytes, on a connection of their own, which the server then closes; or a request (Hold.EXCHANGE
        and a profile) that is sent to it as others are, and whose answer is the answer. May raise FrameError. Only
        called where the codec has `cancels`. Optional.
        """

    def change(profile: Hashable) -> bytes | None:
        """
        The bytes that bring a connection to a server, on which nothing is under way, into the state of `profile`; with
        the profile that it has and `reusable` False: that rid it of what its last client left. None: it can't be, so it
        closes and another one is opened. While the server's answers to these bytes, which are the session's business,
        are to come, `ready` is False. Optional: None.
        """

    def credit(id: int, size: int) -> None:
        """
        So many bytes of the peer's half `id` have left the proxy (the sum of their `Chunk.size`): the peer may send as
        many more. Only called where `flow` is 'stream'. Optional.
        """

    def beat(now: float) -> None:
        """
        Called every second or so where the codec has `beats`; now: seconds of the reactor's clock. What is to be said
        (a heartbeat) comes through `owes`; `error` ends a connection whose peer is silent. Optional.
        """

    def unsent_bytes(id: int) -> int:
        """Bytes of the exchange that `send` took and keeps, until the peer's window has room. Optional: 0."""


OPTIONAL = frozenset(
    {
        "alpn", "alpn_upstream", "attempts_key", "beat", "beats", "cache_key", "cancelled", "cancels", "capacity",
        "change", "changes", "companion", "comparable", "copied", "credit", "cutter", "detect", "doors", "eof", "facts",
        "farewell", "fenced", "flow", "greets", "in_transaction", "inquiry", "keep", "keeps_keys", "lanes", "layout",
        "layout_questions", "layouts", "login_as", "memory", "mirror", "names_nodes", "open_keys", "opens", "owed",
        "owes", "parts", "redirect", "remembers", "repeatable", "reset", "reword", "rewords", "sequential", "settable",
        "start_tls", "starts_tls", "tls_rest", "topologies", "traits", "unread", "unsent_bytes", "upper_keys",
        "welcome", "without",
    }
)  # fmt: skip
"""Names of the interfaces above and below that came later: what is written without them goes on working."""


class ICodec(Interface):
    """
    One protocol: how its bytes become messages and back. Holds configuration and no connection's state, so one object
    serves a whole listener. Does no I/O, sets no timer, imports no Twisted: docs/how-to/write-a-codec.md.

    The constructor's keyword arguments are the options that a configuration may give: `protocol: {name: quill, ...}`.
    """

    name = Attribute("str: the value of `protocol:` in a configuration, such as 'dubbo'.")
    correlation = Attribute("Correlation.ID, or FIFO: answers come in the order of the requests.")
    ordered = Attribute(
        "bool: whether clients must get answers in the order of their requests, which are executed in it, too: what a "
        "client sent behind a request that a filter still has goes to no server before it. FIFO implies it."
    )
    sequential = Attribute(
        "bool: a client's requests stay on one upstream connection while any is under way, so that its answers come as "
        "that server gives them; one that never gets an answer holds up none behind it. Optional, False if absent."
    )
    lanes = Attribute(
        "bool: a connection has channels, on each of which order counts though answers go by id: what a client sent "
        "behind a request that a filter still has goes to no server before it, and what a server sent behind an answer "
        "to no client before that. Optional, False if absent."
    )
    max_id = Attribute("int: the greatest id that the proxy may give to a message upstream; ids run from 1.")
    connections = Attribute(
        "str: how upstream connections are used by default: 'multiplex' (shared), 'pool' (taken by one request at a "
        "time), 'transaction' (as pool, and kept as long as answers have Hold.OPEN), or 'pinned', always: a client's "
        "connection carries state and has one upstream connection of its own."
    )
    server_first = Attribute("bool: the server speaks first, so an upstream connection is opened for each client.")
    stateful = Attribute(
        "bool: a client's session holds state (login, database), so it can't be rebuilt while it lives."
    )
    mutable = Attribute("str: '' when `mutate` works; else why not, shown when a configuration asks for mutations.")
    settable = Attribute(
        "tuple of str: of a codec whose `mutable` is not '', the keys that `mutate` can set all the same where a "
        "filter does; others are left. Optional, () if absent."
    )
    keys = Attribute("dict[str, str]: the metadata keys that the codec can give, each with a line of description.")
    open_keys = Attribute(
        "bool | None: whether messages may have other keys than `keys`, chosen by senders (headers, attachments). "
        "Optional; None, as without it: not known, so that a key that is not listed is only warned of."
    )
    upper_keys = Attribute("tuple of str: the keys whose values are always in upper case (a command). Optional.")
    hash_aliases = Attribute("dict[str, str]: key -> the key to hash in its place (Redis: 'key' -> 'tag').")
    flow = Attribute(
        "str: what `flow` of its sessions towards servers is, so that streams can share connections. Optional, "
        "'connection' if absent."
    )
    greets = Attribute("bool: sessions towards clients have first bytes (SETTINGS) as well. Optional, False if absent.")
    beats = Attribute("bool: `beat` of its sessions is wanted. Optional, False if absent.")
    opens = Attribute(
        "bool: a connection is one exchange. It begins when the client arrives, and its answer when the connection to "
        "the server is there: on both, `receive(b'')` is called then and gives the head. Optional, False if absent."
    )
    topologies = Attribute(
        "tuple of str: the values of a cluster's `topology` that it knows: 'primary_replica'. Optional, () if absent."
    )
    layouts = Attribute(
        "Mapping[str, str]: further values of a cluster's `topology`, whose servers tell which servers there are; for "
        "each what stands behind it, as in `topology: {sentinel: NAME}`, '' for nothing. Optional, {} if absent."
    )
    keeps_keys = Attribute(
        "bool: its servers have things that others have not: `ISession.keep`. Optional, False if absent."
    )
    names_nodes = Attribute(
        "bool: its servers tell clients the addresses of each other, as brokers do, and its sessions put those of "
        "`ISession.doors` in their place. Optional, False if absent."
    )
    login_as = Attribute(
        "bool: clients log in at the proxy, and it may log in at servers as the same users: `credentials: {login_as: "
        "client}`. Optional, False if absent."
    )
    cancels = Attribute(
        "bool: a client may ask about what another one has under way: `Message.companion`. Optional, False if absent."
    )
    cancelled = Attribute(
        "str: with `cancels`, the protocol's name (`Reply.name`) of the error that ends what waits for a connection, "
        "when a client asks for its end. Optional, '' if absent."
    )
    starts_tls = Attribute(
        "bool: the protocol has words that begin TLS: `tls: {start: protocol}`. Optional, False if absent."
    )
    alpn = Attribute(
        "tuple of str: the protocols that listeners agree to in a TLS handshake, the preferred one first, where their "
        "`tls: {alpn}` names none; the agreed one is the fact tls.alpn. Optional."
    )
    alpn_upstream = Attribute("tuple of str: the same, offered to servers. Optional.")
    attempts_key = Attribute(
        "str: the metadata key by which a request that is sent again says how often it was sent before; '' for none. "
        "Optional."
    )
    parts = Attribute(
        "tuple of str: metadata keys by whose names `without` may take a request apart, of which a filter then refuses "
        "some. Optional."
    )
    remembers = Attribute(
        "bool: clients' sessions have a `memory` for all of their listener. Optional, False if absent."
    )
    rewords = Attribute("str: what of requests `reword` changes: 'statement', 'key', or '' for nothing. Optional.")
    mirror = Attribute(
        "ICodec | None: the codec that clusters speak which get copies (a route's `mirror`), where clients have server "
        "connections of their own: its connections are shared and log in by themselves, and its `copied` says what is "
        "sent on them. The same object as long as this one lives. None: copies are the requests themselves. Optional."
    )
    copied = Attribute(
        "Callable[[Message], Sequence[Message]] | None: only of a codec that is another one's `mirror`: what is sent "
        "for a request of that one, messages of this codec, each a copy of its own; () for what is not copied. An "
        "`override_key` of theirs is a hint: where its server is gone, they go to another one. An ERROR that answers "
        "one counts as a failure. May raise FrameError, for what should be copied and can't be: it counts as dropped. "
        "Optional, None if absent."
    )

    def session(side: Side, max_frame: int) -> ISession:
        """A reader of what `side` sends on one new connection. max_frame: bytes allowed a frame, head included."""

    def reply(request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes | Message:
        """
        One whole frame that answers `request` under its own id with an error that its clients understand; b"" for a
        request that gets no answer, unless it opens a state (SUBSCRIBE), whose client waits for that: its connection
        closes behind the error. A FinalFrame ends the client's connection behind it, an empty one without a word. text:
        at most 1 KiB. name: see Reply; an unknown name counts as "". A Message (ERROR) passes through the client's
        session: for protocols whose frames depend on what was sent before (compressed headers, sequence numbers).
        """

    def without(
        request: Message, names: Mapping[str, Collection[str]], kind: ErrorKind, text: str, name: str = ""
    ) -> Message | bytes | None:
        """
        The request without some of what it names, by metadata key (of `parts`), where a filter refuses these alone:
        what the client's session makes of its answer has the error for them, as `reply` words it. Bytes: nothing is
        left to send, and this answers the request. None: that can't be, and the whole request is refused. May raise
        FrameError. Optional: None.
        """

    def knows(name: str) -> bool:
        """Whether `reply` has an error of this name: asked when a configuration is checked that uses one."""

    def mutate(message: Message, mutation: Mutation) -> bytes:
        """
        The frame of `message` with the mutation applied: other bytes of the frame stay as they are. Raises FrameError
        when the frame can't be understood. Only called when `mutable` is ''.
        """

    def safe(request: Message) -> bool:
        """
        Whether the request may be executed twice, or its answer thrown away, without harm (a read). Only asked when a
        try has failed or a mirror is configured. May raise FrameError.
        """

    def repeatable(request: Message) -> bool:
        """
        Whether a server that gets the request a second time makes sure that it has the effect of one: what it has
        executed is only answered, as for a write with a number of its own. Only asked when a try has failed. May raise
        FrameError. Optional: whatever is `safe`.
        """

    def confidential(request: Message) -> bool:
        """
        Whether the request, or what answers it, holds a secret by the protocol's own rules: a login, a password that is
        set. It is left out of recordings. Only asked while a recording runs. May raise FrameError.
        """

    def split(request: Message, owner: Callable[[str], Hashable]) -> list[Part] | bytes | None:
        """
        The pieces of a request that touches keys of several endpoints, one an endpoint; None when it is not to be
        split; [] when its keys are at several endpoints and it can't be split: it is refused (Reply.name CROSSSLOT).
        Bytes are the whole answer; a FrameError is the reason for which it is refused. Only called where endpoints have
        parts of the data. owner: gives for a key what is equal for the keys that one request may name; None: no
        endpoint has it. `owner.bound`: the endpoint of the connection that the client has for itself, which `owner`
        then gives for the keys that it has, None without one; a request for it is never split, and refused by [].
        `owner.everyone()`: endpoints that have all keys, for `Part.endpoint`; [] while one of them is not usable; with
        `replicas=True` also the replicas that are usable.
        """

    def detect(data: bytes) -> bool | None:
        """
        Whether a client that begins with these bytes (1 to 512) speaks this protocol; None: more are needed to tell.
        For listeners whose clients speak one of several. Optional: such a codec is never chosen by bytes.
        """

    def probe() -> Message | None:
        """
        What a health check of `kind: codec` asks: a request (or HEARTBEAT) that every server answers and that changes
        nothing, such as a ping. It is sent on a connection that is opened with its `profile`. None: there is none.
        """

    def alive(answer: Message) -> bool:
        """Whether a server that answers the probe with this RESPONSE, ERROR or HEARTBEAT can serve requests."""

    def inquiry(topology: str) -> Message | None:
        """
        What each server of a cluster with this `topology` is asked: a request as `probe` gives it, that tells what the
        server is. Only called with one of `topologies`. Optional: None.
        """

    def traits(answer: Message) -> Mapping[str, str]:
        """
        What a server's answer to `inquiry` says: role: 'primary', 'replica' or another word of the protocol; lag:
        seconds that a replica is behind, a decimal number; term: a whole number that grows when another server becomes
        the primary; position: a whole number that grows with what is written, of a replica: what it has of that. May
        raise FrameError, for what tells nothing. Optional, as `inquiry`.
        """

    def layout_questions(topology: str, name: str) -> Sequence[Message]:
        """
        What a server is asked, one after the other, to tell which servers there are: requests as `probe` gives them.
        topology: one of `layouts`; name: what stands behind it. Only called with one of `layouts`. Optional: ().
        """

    def layout(topology: str, answers: Sequence[Message], address: str) -> ILayout:
        """
        What the server at `address` answered to these questions. Raises FrameError for what is no answer to them.
        Optional, as what is asked.
        """

    def redirect(request: Message, answer: Message) -> Redirect | None:
        """
        What an ERROR means that says that another server is to be asked; None for any other. Only asked in clusters
        whose `topology` is one of `layouts`. Optional: None.
        """

    def changes(request: Message) -> bool:
        """
        Whether a request that went to a primary may have changed what a replica is read for, so that its client's reads
        wait for that (`read_your_writes`). May raise FrameError. Optional: whatever is not `safe`.
        """

    def cache_key(request: Message) -> Hashable | None:
        """
        What is equal for two requests of clients in the same state (`Message.profile`) that a server answers alike as
        long as its data are the same; None: not to be kept. Only asked where `safe`, for routes with `cache:`. May
        raise FrameError. Optional: None.
        """

    def comparable(answer: Message) -> bytes | None:
        """
        What two answers to one request are compared by, for mirrors and recordings that are sent again, where their
        bytes differ although they say the same: times, ids of servers. None: by their frames under one id. May raise
        FrameError: by their frames as they are. Optional: None.
        """

    def reword(request: Message, change: Callable[[str], str | None]) -> Message | None:
        """
        The request with other statements, for a route with `rewrite: {statement: ...}`, or other keys, for one with
        `rewrite: {key: ...}`; see `rewords`. change(text) gives another text for each of them, None to leave it. None:
        nothing changes. Raises FrameError for a request that has some which can't be changed, or are not all known.
        Optional: None.
        """

    def merge(request: Message, parts: Sequence[Part], answers: Sequence[Message]) -> bytes:
        """The one answer to `request`, made of the answers to its parts, in the same order. Some may be errors."""


class ILayout(Interface):
    """
    The servers of a cluster, as one of them tells them. Never changes: another answer is another layout.
    """

    endpoints = Attribute(
        "Mapping[str, Mapping[str, str]]: address -> what it is, which a route's `subset` looks at: role, 'primary' or "
        "'replica', if there are roles; shard, where the servers have parts of the data; node, the number of each one "
        "by which clients ask for it (`IDoors`); anything else."
    )
    aliases = Attribute(
        "Mapping[str, str]: other addresses that servers may name one by, in `Redirect` -> its address."
    )
    epoch = Attribute("int: grows with each change; an older one is used only where no server has a newer one; or 0.")
    doubtful = Attribute("bool: who tells it says that it may not know; used only where no other server knows better.")
    shards = Attribute("int: of how many parts each one has a primary; 0: all primaries have the same data.")
    outside = Attribute("bool: who tells it is none of the endpoints: only the configured ones are asked again.")

    def shard(value: str) -> str:
        """
        The `shard` of the endpoints that have what is under a value of the hash key (`ICodec.hash_aliases` of 'key');
        '' for none. Only asked with `shards`.
        """

    def shard_of(message: Message, key: str) -> str:
        """
        The `shard` of the endpoints that have what is under a message's value of the metadata key `key`, which is that
        of the hash; '' for any. For a layout that can tell it with less work than `message.get` and `shard`, as
        `framing.Layout` does it. May raise FrameError. Only asked with `shards`.
        """

    def group(value: str) -> Hashable:
        """Equal for values that one request may name together. Only asked with `shards`."""


class IDoors(Interface):
    """How one client reaches each node of a cluster through the proxy: a listener's `nodes`."""

    def address(node: str) -> tuple[str, int] | None:
        """The host and port for the endpoint whose metadata `node` is this whole number; None: it can't be reached."""


class IExchange(Interface):
    """One request and what answers it, as a filter sees it. The same object in every hook of one exchange."""

    message = Attribute("Message: the request. A filter never changes it in place.")
    response = Attribute("Message | None: the answer, once there is one.")
    started = Attribute("float: when the request was read, seconds of the reactor's clock.")
    ended = Attribute("float: when the exchange completed; 0.0 before.")
    listener = Attribute("str: name of the listener.")
    protocol = Attribute("str: name of the codec.")
    route = Attribute("str: name of the route, or '-' when none matched.")
    cluster = Attribute("str: name of the cluster, or '-' when none was picked.")
    upstream_address = Attribute("str: the endpoint's `host:port`, or '-' before it was picked.")
    outcome = Attribute(
        "str: '' while under way, then 'ok', 'error', 'oneway', an ErrorKind's value, 'downstream_gone', 'event'."
    )
    details = Attribute(
        "str: what logs tell of it: of a local reply, or what a filter put there, bounded; '' if nothing."
    )
    request_bytes = Attribute("int: bytes of the request, chunks included.")
    response_bytes = Attribute("int: bytes of the answer, chunks included; 0 when none.")
    streamed = Attribute(
        "bool: whether one of its messages is a head with Chunks behind it, as far as that is known: how long it lasts "
        "says nothing of its server's speed."
    )

    def get(key: str) -> str | None:
        """
        A metadata key of the request, or a fact of the peer: source.address, source.port, destination.port ... No
        metadata stand in for a fact that is not known.
        """

    def limit(seconds: float) -> None:
        """In on_request: give the exchange at most this time from `started` on, if it is less than what it has."""

    learnt = Attribute("dict[str, str | None] | None: what `learn` was given; None when nothing.")

    def learn(key: str, value: str | None) -> None:
        """
        Have `get(key)` give this value from now on (None: none), whatever the client wrote: to the filters that follow,
        mutations and logs. It is not sent, see `set`; routes have been matched before. Facts of the peer stay.
        """

    def set(key: str, value: str) -> None:
        """Have the codec put `key: value` into the request on its way up (in on_response: into the answer)."""

    def remove(key: str) -> None:
        """Have the codec remove a key from the request (in on_response: from the answer)."""

    def gather(most: int) -> Deferred[list[Chunk] | None]:
        """
        In on_request: what follows the request's head, to its end; in on_response: the answer's. [] for a whole
        message. None where there are more than `most` bytes of payload: then answer. The chunks go nowhere else: use
        `forward_as`, or `answer_as`, with a message that has all of it.
        """

    def forward_as(message: Message) -> None:
        """
        In on_request: have this sent in the place of the request, to a cluster of any protocol; see `translates` of
        IFilter. What the server answers is a message of that protocol, until a filter uses `answer_as`.
        """

    def answer_as(message: Message) -> None:
        """In on_response: have this be the answer, in the client's protocol: whole, or a head for the same chunks."""

    def alter(change: Callable[[bytes], bytes], ending: Ending | None = None) -> None:
        """
        In on_response: have `change` make other bytes of those that answer the client, which the codec made; ending:
        what becomes of its connection then. One filter an exchange; local replies are not altered.
        """


class ICompletedExchange(IExchange):
    """
    What the proxy's own logs, metrics, recordings and spans read of an exchange besides; not for plugins: what these
    attributes hold may change in any version. A filter's on_complete is handed the same object as an IExchange.
    """

    attempts = Attribute("int: how often it was sent; the pieces of a split request count each.")
    request_chunks = Attribute("int: chunks of the request so far; 0 for a whole one.")
    response_chunks = Attribute("int: chunks of the answer so far; 0 for a whole one.")
    first_byte = Attribute("float: when the answer's first byte was on its way to the client; 0.0 for never.")
    reply_kind = Attribute(
        "ErrorKind | None: why the proxy answered by itself; None when it did not, or without error."
    )
    matched_route = Attribute("routing.table.Route: the one that matched, or the listener's pseudo-route for none.")
    target = Attribute(
        "routing.table.Target | None: the cluster of the route that was picked, and where it is counted; None for what "
        "was answered before, which the route's reply_target counts."
    )
    endpoint = Attribute("cluster.endpoint.Endpoint | None: where it was sent last.")
    client = Attribute("proxy.roles.ExchangeClient: its connection: `facts`, `session_pin`, `listener`.")
    snapshot = Attribute("proxy.snapshot.ListenerSnapshot: what it runs on: `codec`, `max_frame`, `name`.")


class IFilter(Interface):
    """
    What acts on exchanges: limits, faults, auth, logs. It implements one or more of the hooks below, as
    `@implementer(IOnRequest, IOnComplete)`; an absent hook costs nothing. One object serves all connections of its
    listener (per-route options make another object).

    Order: on_request first to last, on_response last to first, on_complete first to last. A hook that raises ends the
    exchange with an error of kind INTERNAL (FrameError: BAD_REQUEST), logged with its traceback, once a filter and
    minute. The constructor's keyword arguments are the filter's options in a configuration; one named `clock` is
    handed the reactor's clock instead, one named `node` the configuration's `node:` (id, cluster, zone, metadata).

    A filter is also built, stopped and forgotten when a configuration is merely checked: what it opens it opens with
    the first exchange. It may have, besides its hooks:

    - stop() -> Deferred | None: called once, when no configuration names it any more or the proxy ends; exchanges that
      are under way may still ask it. At the end of the proxy the Deferred is waited for; it fires in bounded time.
    - counters: dict[str, int], event -> how often; shown as metaproxy_filter_events_total.
    - gauges: dict[str, float], name -> value now; shown as metaproxy_filter_value. The keys of both are words of the
      code or of the configuration, never of a peer. Several workers' values are added up.
    - per_worker: names of gauges of which a sum says nothing (a ratio, a duration): several workers' stand one by one.
    - inherit(previous): called once, as a new configuration comes into force, with the filter of this name that stood
      in the same place of the listener until then, perhaps with other options or of older code: take over what should
      survive (buckets, caches, what is under way), and leave `previous` usable for exchanges that are under way in it.
      `counters` are carried over by the proxy.
    - collect() -> iterable of prometheus_client Metrics, for metrics under names of its own.
    - explain(get) -> str: what it would do with a request whose metadata and facts `get` gives, for /explain: a few
      words, nothing counted. May raise FrameError, as `get` does.
    - error_names: the protocol's own names that its Replies may have; the codec must know them.
    - parts: the metadata keys of which its Replies may refuse some names alone; the codec must have them in `parts`.
    - translates: the names of the protocols that it makes requests of (`forward_as`): routes on which it acts may lead
      to clusters that speak one of these.
    - asks: the names of clusters that it asks as services; the configuration must have them. A constructor's argument
      named `clusters` is handed what finds them: see metaproxy.filters.service_cluster.Clusters.
    """


class IOnRequest(IFilter):
    """Sees each request before it is forwarded."""

    def on_request(exchange: IExchange) -> Reply | Deferred[Reply | None] | None:
        """Go on (None), answer now (Reply), or wait: the Deferred fires with None or a Reply, in bounded time."""


class IOnResponse(IFilter):
    """Sees each server's answer; not asked for one-way requests and local replies."""

    def on_response(exchange: IExchange) -> Reply | Deferred[Reply | None] | None:
        """`exchange.response` is there. Pass it (None), replace it (Reply), or wait."""


class IOnChunk(IFilter):
    """Sees the chunks of streams, in their order, both ways. Whole messages have none."""

    def on_chunk(
        exchange: IExchange, chunk: Chunk, side: Side
    ) -> bytes | Chunk | Reply | Deferred[bytes | Reply | None] | None:
        """
        Pass it (None), replace its payload (bytes) or all of it (a Chunk of the same kind), end the exchange (a Reply:
        in the protocol's words if nothing of the answer was sent, else the stream is reset, behind the Reply's `frame`,
        if that is bytes, which are what still passes of a server's payload), or wait: the Deferred fires with one of
        these, in bounded time, and the chunks behind it wait as well. side: whose chunk it is. A filter that replaces
        bytes removes what tells their number from the head.
        """


class IOnComplete(IFilter):
    """
    Sees the end of each exchange, exactly once, whatever it was. Also each push of a server on a client's own
    connection (`message` is the EVENT), which is an exchange of outcome 'event' that no other hook was asked about.
    """

    def on_complete(exchange: ICompletedExchange) -> None:
        """`exchange.outcome` is final. Must not wait, write or raise. A plugin's has `exchange: IExchange`."""


class IEndpoint(Interface):
    """One address of a cluster, as a balancer sees it."""

    address = Attribute("str: 'host:port', '[v6]:port' or 'unix:/path'.")
    weight = Attribute("int: 1 or more.")
    active = Attribute("int: exchanges under way on it, from this process.")
    metadata = Attribute("dict[str, str]: as configured or discovered.")


class ILoadBalancer(Interface):
    """
    Picks an endpoint. Built as `Balancer(endpoints, **options)` from usable endpoints only (at least one), and built
    again whenever one joins, leaves, changes weight or health; so it needs no check for health in `pick`.
    """

    uses_hash = Attribute("bool: whether `pick` looks at the hash; if not, none is computed.")

    def pick(hash_value: int) -> IEndpoint:
        """
        The endpoint for one exchange. hash_value: 64-bit hash of the route's or balancer's key; 0 if unused. It is
        looked up once a balancer.
        """


class IDiscovery(Interface):
    """
    Where a cluster's endpoints come from. One object serves one cluster: it is started with it, once, and stopped with
    it. Before that it does nothing; a configuration that is only checked builds it, too.

    It may also have `problem`, a str: '' while the last list is what its source says, else why that is not known;
    /problems shows it.
    """

    def start(update: Callable[[Sequence[Mapping[str, object]]], None], failed: Callable[[str], None]) -> None:
        """
        Begin, and return at once. `update` takes the whole list, as `endpoints:` in a configuration has it: as soon as
        it is known, and whenever it changes. An empty list means that there are none. `failed` takes a line of text,
        each time that the list can't be had: the cluster keeps the last one, so don't report an empty one then. Call
        both in the reactor's thread, and don't change a list that was reported.
        """

    def stop() -> None:
        """No call of `update` or `failed` after this; cancel what waits. It may come twice, and without a start."""
