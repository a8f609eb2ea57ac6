"""The Thrift codec against any cut, any bytes, any struct; Apache's library for Python is the other encoder."""

import itertools
import struct
import uuid
import zlib
from collections.abc import Sequence
from typing import Any

from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.protocol.TCompactProtocol import TCompactProtocol
from thrift.protocol.THeaderProtocol import THeaderProtocol
from thrift.protocol.TJSONProtocol import TJSONProtocol
from thrift.Thrift import TApplicationException, TType
from thrift.transport.THeaderTransport import THeaderClientType, THeaderSubprotocolID
from thrift.transport.TTransport import TFramedTransport, TMemoryBuffer

from metaproxy.codecs.thrift import Thrift
from metaproxy.codecs.thrift.codec import EXCEPTIONS
from metaproxy.message import ErrorKind, FrameError, Kind, Message, Mutation, Side

MAX = 1 << 20
CODEC, CHECKING = Thrift(), Thrift(check_frames=True)

FORMS = {
    "strict": lambda transport: TBinaryProtocol(transport, strictRead=False, strictWrite=True),
    "old": lambda transport: TBinaryProtocol(transport, strictRead=False, strictWrite=False),
    "compact": TCompactProtocol,
    "json": TJSONProtocol,
}
SUBPROTOCOLS: dict[str, Any] = {"strict": THeaderSubprotocolID.BINARY, "compact": THeaderSubprotocolID.COMPACT}
PROTOCOLS: dict[str, Any] = {"strict": "binary", "old": "binary", "compact": "compact", "json": "json"}
PAIRS: list[tuple[Any, str]] = [(transport, form) for transport in ("framed", "unframed") for form in FORMS]
PAIRS += [("header", form) for form in SUBPROTOCOLS]

# Drawn and not parametrized: pytest-twisted wraps a hypothesis test once for each parameter, and then cannot run it.
every_pair = st.sampled_from(PAIRS)
many = examples(100)

# Values as (type, what), where what is a Python value, or for containers and structs a list of values.


def integers(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(1 << bits - 1), (1 << bits - 1) - 1)


SCALARS: dict[int, st.SearchStrategy] = {
    TType.BOOL: st.booleans(),
    TType.BYTE: integers(8),
    TType.I16: integers(16),
    TType.I32: integers(32),
    TType.I64: integers(64),
    TType.DOUBLE: st.floats(allow_nan=False, width=64),
    TType.STRING: st.binary(max_size=40) | st.text('"\\[]{}\n', max_size=8).map(str.encode),
    TType.UUID: st.binary(min_size=16, max_size=16).map(lambda raw: uuid.UUID(bytes=raw)),
}


def values(type: int, depth: int) -> st.SearchStrategy:
    if type in SCALARS:
        return SCALARS[type]
    if type == TType.STRUCT:
        return fields(depth - 1)
    if type == TType.MAP:
        return st.sampled_from(list(SCALARS)).flatmap(
            lambda key: types(depth - 1).flatmap(lambda of: pairs(key, of, depth))
        )
    return types(depth - 1).flatmap(lambda of: st.tuples(st.just(of), st.lists(values(of, depth - 1), max_size=20)))


def pairs(key: int, of: int, depth: int) -> st.SearchStrategy:
    one = st.tuples(values(key, 0), values(of, depth - 1))
    return st.tuples(st.just(key), st.just(of), st.lists(one, max_size=5))


def types(depth: int) -> st.SearchStrategy[int]:
    deep = [TType.STRUCT, TType.MAP, TType.LIST, TType.SET] if depth > 0 else []
    return st.sampled_from([*SCALARS, *deep])


def fields(depth: int) -> st.SearchStrategy:
    one = types(depth).flatmap(lambda type: st.tuples(st.integers(-5, 40), st.just(type), values(type, depth)))
    return st.lists(one, max_size=5)


def write(protocol: Any, type: int, value: Any) -> None:
    if type == TType.STRUCT:
        protocol.writeStructBegin("")
        for id, of, inner in value:
            protocol.writeFieldBegin("", of, id)
            write(protocol, of, inner)
            protocol.writeFieldEnd()
        protocol.writeFieldStop()
        protocol.writeStructEnd()
    elif type == TType.MAP:
        key, of, items = value
        protocol.writeMapBegin(key, of, len(items))
        for one, other in items:
            write(protocol, key, one)
            write(protocol, of, other)
        protocol.writeMapEnd()
    elif type in (TType.LIST, TType.SET):
        of, items = value
        begin, end = (
            (protocol.writeListBegin, protocol.writeListEnd)
            if type == TType.LIST
            else (protocol.writeSetBegin, protocol.writeSetEnd)
        )
        begin(of, len(items))
        for item in items:
            write(protocol, of, item)
        end()
    else:
        writers = {
            TType.BOOL: protocol.writeBool,
            TType.BYTE: protocol.writeByte,
            TType.I16: protocol.writeI16,
            TType.I32: protocol.writeI32,
            TType.I64: protocol.writeI64,
            TType.DOUBLE: protocol.writeDouble,
            TType.STRING: protocol.writeBinary,
            TType.UUID: protocol.writeUuid,
        }
        writers[type](value)


def encode(
    transport: str,
    form: str,
    name: str,
    type: int,
    seqid: int,
    body: Any,
    headers: Sequence[tuple[bytes, bytes]] = (),
    zipped: bool = False,
) -> bytes:
    """One message, written by Apache's library."""
    buffer = TMemoryBuffer()
    outer = TFramedTransport(buffer) if transport == "framed" else buffer
    if transport == "header":
        protocol = THeaderProtocol(buffer, [THeaderClientType.HEADERS], SUBPROTOCOLS[form])
        for key, value in headers:
            protocol.set_header(key, value)
        if zipped:
            protocol.add_transform(1)
    else:
        protocol = FORMS[form](outer)
    protocol.writeMessageBegin(name, type, seqid)
    write(protocol, TType.STRUCT, body)
    protocol.writeMessageEnd()
    protocol.trans.flush()
    written: bytes = buffer.getvalue()
    return written


def decode(stream: bytes, transport: str, form: str) -> tuple[str, int, int, str, int]:
    """Name, type, seqid, and text and type of the exception: as Apache's library reads them."""
    buffer = TMemoryBuffer(stream)
    if transport == "header":
        protocol = THeaderProtocol(buffer, [THeaderClientType.HEADERS], SUBPROTOCOLS[form])
    else:
        protocol = FORMS[form](TFramedTransport(buffer) if transport == "framed" else buffer)
    name, type, seqid = protocol.readMessageBegin()
    error = TApplicationException()
    error.read(protocol)
    protocol.readMessageEnd()
    return name, type, seqid, error.message, error.type


names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20).filter(
    lambda name: name[0] > " "
)
plain_names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.:]{0,20}", fullmatch=True)
kinds = st.sampled_from([(1, Kind.REQUEST), (4, Kind.ONEWAY)])
header_items = st.dictionaries(st.binary(min_size=1, max_size=8), st.binary(max_size=200), max_size=4)


def cut(stream: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(stream) + 1) for place in at}), len(stream)]
    return [stream[a:b] for a, b in itertools.pairwise(edges)]


def read(
    pieces: list[bytes], codec: Thrift = CODEC, side: Side = Side.CLIENT, profile: Any = None, bound: int = MAX
) -> Any:
    session = codec.session(side, bound)
    if side is Side.SERVER:
        session.open(profile, {})
    messages = [message for piece in pieces for message in session.receive(piece)]
    return messages, session


# What Apache's library writes


@many
@given(pair=every_pair, data=st.data())
def test_every_message_that_apaches_library_writes_is_found_and_read(pair: Any, data: Any) -> None:
    transport, form = pair
    sent = []
    for _ in range(data.draw(st.integers(1, 3))):
        type, kind = data.draw(kinds)
        name, seqid = data.draw(plain_names if form == "old" else names), data.draw(integers(32))
        frame = encode(transport, form, name, type, seqid, data.draw(fields(3)))
        sent.append((kind, name, str(seqid), frame))
    stream = b"".join(frame for *_, frame in sent)
    for codec in (CODEC, CHECKING):
        messages, session = read(cut(stream, data.draw(st.lists(st.integers(0, 1 << 20), max_size=5))), codec)
        assert session.error is None
        assert [(m.kind, m.get("method"), m.get("seqid"), m.frame) for m in messages] == sent
        assert {m.profile for m in messages} == {(transport, PROTOCOLS[form])}


@many
@given(pair=every_pair, data=st.data(), seqid=integers(32), new=integers(32))
def test_a_new_id_changes_what_apaches_library_writes_for_it_and_the_way_back_restores(
    pair: Any, data: Any, seqid: Any, new: Any
) -> None:
    transport, form = pair
    body, items = data.draw(fields(2)), data.draw(header_items).items()
    frame = encode(transport, form, "echo", 1, seqid, body, items)
    (message,), _ = read([frame])
    sent = CODEC.session(Side.SERVER, MAX).send(message, new)
    assert sent == encode(transport, form, "echo", 1, new, body, items)
    (answer,), _ = read([sent], side=Side.SERVER, profile=message.profile)
    assert CODEC.session(Side.CLIENT, MAX).send(answer, message.id) == frame


@many
@given(form=st.sampled_from(list(SUBPROTOCOLS)), data=st.data(), seqid=integers(32), new=integers(32))
def test_a_new_id_of_a_compressed_message_is_what_apaches_library_writes_for_it(
    form: Any, data: Any, seqid: Any, new: Any
) -> None:
    body = data.draw(fields(2))
    (message,), _ = read([encode("header", form, "echo", 1, seqid, body, zipped=True)])
    sent = bytes(CODEC.session(Side.SERVER, MAX).send(message, new))
    assert message.get("seqid") == str(seqid)
    plain = encode("unframed", form, "echo", 1, new, body)
    assert zlib.decompress(sent[14 + 4 * struct.unpack_from(">H", sent, 12)[0] :]) == plain


@many
@given(
    pair=every_pair,
    seqid=integers(32),
    text=st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
    name=plain_names,
)
def test_an_error_reply_is_read_by_apaches_library(pair: Any, seqid: Any, text: Any, name: Any) -> None:
    transport, form = pair
    (request,), _ = read([encode(transport, form, name, 1, seqid, [])])
    for error, type in (("", 12), ("missing_result", 5)):
        reply = CODEC.reply(request, ErrorKind.TIMEOUT, text, error)
        assert decode(reply, transport, form) == (name, 3, seqid, text, type)


def test_the_names_of_errors_are_those_of_apaches_library() -> None:
    theirs = {name.lower(): number for name, number in vars(TApplicationException).items() if name.isupper()}
    assert theirs.items() <= EXCEPTIONS.items()


@many
@given(pair=every_pair, data=st.data(), first=st.integers(-3, 3))
def test_a_reply_is_an_error_if_its_first_field_is_above_0(pair: Any, data: Any, first: Any) -> None:
    transport, form = pair
    type = data.draw(types(1))
    body = [(first, type, data.draw(values(type, 1)))]
    (message,), _ = read(
        [encode(transport, form, "echo", 2, 7, body)], side=Side.SERVER, profile=(transport, PROTOCOLS[form])
    )
    assert message.kind is (Kind.ERROR if first > 0 else Kind.RESPONSE)


@given(
    items=header_items, set=st.dictionaries(st.text("abcXYZ", min_size=1, max_size=3), st.text(max_size=9), max_size=3)
)
def test_a_mutation_is_read_by_apaches_library(items: Any, set: Any) -> None:
    (message,), _ = read([encode("header", "strict", "echo", 1, 7, [], items.items())])
    mutated = CODEC.mutate(message, Mutation(set, ("a",)))
    protocol = THeaderProtocol(TMemoryBuffer(mutated), [THeaderClientType.HEADERS])
    assert protocol.readMessageBegin()[0] == "echo"
    gone = {key.lower().encode() for key in (*set, "a")}
    expected = {key: value for key, value in items.items() if key.lower() not in gone}
    expected |= {key.encode(): value.encode() for key, value in set.items()}
    assert protocol.get_headers() == expected


# Any bytes, any cut

streams = st.lists(
    st.binary(max_size=30)
    | st.sampled_from(
        [
            encode(transport, form, "echo", 1, 7, [(1, TType.STRING, b"hi"), (2, TType.LIST, (TType.I32, [1, 2]))])
            for transport, form in PAIRS
        ]
        + [encode("header", "compact", "echo", 1, 7, [], [(b"k", b"v")], zipped=True)]
    ),
    max_size=6,
).map(b"".join)


def damaged(stream: bytes, at: int, byte: int) -> bytes:
    if not stream:
        return stream
    place = at % len(stream)
    return stream[:place] + bytes([byte]) + stream[place + 1 :]


broken = st.builds(damaged, streams, st.integers(0, 1 << 20), st.integers(0, 255))
cuts = st.lists(st.integers(0, 1 << 20), max_size=8)
options = st.sampled_from(
    [Thrift(), Thrift(check_frames=True)]
    + [Thrift(transport=transport, protocol=PROTOCOLS[form]) for transport, form in PAIRS]
    + [Thrift(transport=transport) for transport in ("framed", "unframed", "header")]
    + [Thrift(protocol=protocol) for protocol in ("binary", "compact", "json")]
)
bounds = st.sampled_from([16, 40, 64, 100, MAX])


@many
@given(stream=streams | broken, at=cuts, codec=options, bound=bounds, side=st.sampled_from(Side))
def test_however_a_stream_is_cut_it_decodes_the_same(stream: Any, at: Any, codec: Any, bound: Any, side: Any) -> None:
    whole, one = read([stream], codec, side, bound=bound)
    split, other = read(cut(stream, at), codec, side, bound=bound)
    assert split == whole
    assert str(other.error) == str(one.error)
    assert other.buffered == one.buffered


@given(stream=streams | broken)
def test_a_stream_that_comes_byte_by_byte_decodes_the_same(stream: Any) -> None:
    assert read([stream])[0] == read([bytes([byte]) for byte in stream])[0]


def use(message: Message, codec: Thrift) -> None:
    """What the proxy may do with any message that it was given; only `mutate` and `get` may refuse, by FrameError."""
    if message.answer is None:  # else it is not forwarded
        codec.session(Side.SERVER, MAX).send(message, 12345)
        codec.session(Side.CLIENT, MAX).send(message, message.id)
    codec.reply(message, ErrorKind.TIMEOUT, "late")
    try:
        message.get("nothing")
        codec.mutate(message, Mutation({"a": "b"}, ("c",)))
    except FrameError:
        pass
    message.known()


@many
@given(stream=broken | st.binary(max_size=200), codec=options, side=st.sampled_from(Side))
def test_nothing_that_a_peer_sends_raises_anything_but_the_frame_error(stream: Any, codec: Any, side: Any) -> None:
    messages, session = read([stream], codec, side)
    assert session.error is None or isinstance(session.error, FrameError)
    for message in messages:
        use(message, codec)


@many
@given(pair=every_pair, tail=st.binary(max_size=120), side=st.sampled_from(Side))
def test_nothing_behind_a_good_begin_raises_anything_but_the_frame_error(pair: Any, tail: Any, side: Any) -> None:
    transport, form = pair
    begin = encode(transport, form, "echo", 1, 7, [])
    begin = begin[:-1] if transport == "unframed" else begin
    messages, session = read([begin + tail], side=side, bound=1000)
    assert session.error is None or isinstance(session.error, FrameError)
    assert session.buffered <= 1000 + len(tail)
    for message in messages:
        use(message, CODEC)
