"""HTTP/1.1 for any messages and any cuts: what was sent is what arrives, and how it was cut does not matter."""

from __future__ import annotations

from collections.abc import Sequence

from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from metaproxy.codecs.http import Http, model
from metaproxy.codecs.http.metadata import normal_path
from metaproxy.interfaces import ISession
from metaproxy.message import Chunk, Kind, Message, Side
from metaproxy.testing.joining import joined

TOKEN = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
SPECIAL = {
    "host", "content-length", "transfer-encoding", "connection", "keep-alive", "proxy-connection", "te", "upgrade",
    "http2-settings", "expect", "via", "forwarded", "x-forwarded-for", "x-forwarded-proto",
}  # fmt: skip
names = st.text(TOKEN, min_size=1, max_size=20).filter(lambda name: name.lower() not in SPECIAL)
values = st.binary(max_size=30).map(lambda raw: bytes(b for b in raw if b >= 0x20 and b != 0x7F).strip(b" \t"))
fields = st.lists(st.tuples(names.map(str.encode), values), max_size=6)
bodies = st.binary(max_size=300) | st.sampled_from([b"", b"0\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"])
methods = st.sampled_from([b"GET", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS"])
targets = st.text("abc/?=&%20.;~!$'()*,:@", max_size=20).map(lambda rest: b"/" + rest.encode())


@st.composite
def chunked(draw: st.DrawFn, body: bytes) -> bytes:
    """A body in chunked form, cut anyhow, with extensions."""
    written = b""
    while body:
        size = draw(st.integers(1, len(body)))
        digits = draw(st.sampled_from([b"%x", b"%X", b"00%x"])) % size
        written += digits + draw(st.sampled_from([b"", b";a", b';a="b"'])) + b"\r\n" + body[:size] + b"\r\n"
        body = body[size:]
    return written + draw(st.sampled_from([b"0", b"000", b"0;x=y"])) + b"\r\n"


@st.composite
def message(draw: st.DrawFn, start: bytes, trailing: bool = True) -> tuple[bytes, bytes, list[model.Pair]]:
    """Bytes of a message, its body, its trailers."""
    body = draw(bodies)
    lines = b"".join(
        b"%b:%b%b\r\n" % (name, draw(st.sampled_from([b"", b" ", b"\t "])), value) for name, value in draw(fields)
    )
    if draw(st.booleans()):
        return start + lines + b"Content-Length: %d\r\n\r\n" % len(body) + body, body, []
    trailers = draw(fields) if trailing else []
    block = b"".join(b"%b: %b\r\n" % pair for pair in trailers)
    written = start + lines + b"Transfer-Encoding: chunked\r\n\r\n" + draw(chunked(body)) + block + b"\r\n"
    return written, body, [(name.lower(), value) for name, value in trailers]


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, bytes, list[model.Pair]]:
    return draw(message(b"%b %b HTTP/1.1\r\nHost: a.example\r\n" % (draw(methods), draw(targets))))


answers = message(b"HTTP/1.1 200 OK\r\n")


@st.composite
def cut(draw: st.DrawFn, data: bytes) -> list[bytes]:
    places = sorted(draw(st.lists(st.integers(0, len(data)), max_size=12)))
    return [data[start:stop] for start, stop in zip([0, *places], [*places, len(data)], strict=True)]


def join(head: Message, chunks: Sequence[Chunk]) -> Message:
    last = chunks[-1]
    body = b"".join(chunk.frame for chunk in chunks)
    return model.whole(model.head_of(head), body, head.id, head.more, model.trailer_pairs(last.trailers), last.failed)


def client() -> ISession:
    return Http().session(Side.CLIENT, 1 << 20)


def server(count: int = 1) -> ISession:
    session = Http().session(Side.SERVER, 1 << 20)
    for id in range(1, count + 1):
        session.send(model.whole(model.request_head(b"GET", b"/", b"a", []), b"", id), id)
    return session


def read(session: ISession, pieces: list[bytes]) -> list[Message]:
    messages = [message for piece in pieces for message in session.receive(piece)]
    assert session.error is None
    assert session.buffered == 0
    return messages


def meaning(messages: list[Message]) -> list[tuple[bytes, bytes, list[model.Pair]]]:
    found = []
    for one in joined(messages, join, broken=False):
        head, body, trailers = model.parts(one)
        found.append((head.frame, body, trailers or []))
    return found


@given(st.data(), st.lists(requests(), min_size=1, max_size=3))
def test_requests_are_the_same_however_they_are_cut(
    data: st.DataObject, sent: list[tuple[bytes, bytes, list[model.Pair]]]
) -> None:
    stream = b"".join(raw for raw, _, _ in sent)
    pieces = data.draw(cut(stream))
    found = meaning(read(client(), pieces))
    assert [(body, trailers) for _, body, trailers in found] == [(body, trailers) for _, body, trailers in sent]
    assert [model.head_of(one).path for one in joined(read(client(), pieces), join, broken=False)] == [
        raw.split(b" ", 2)[1] for raw, _, _ in sent
    ]


@given(st.data(), st.lists(answers, min_size=1, max_size=3))
def test_answers_are_the_same_however_they_are_cut(
    data: st.DataObject, sent: list[tuple[bytes, bytes, list[model.Pair]]]
) -> None:
    stream = b"".join(raw for raw, _, _ in sent)
    found = meaning(read(server(len(sent)), data.draw(cut(stream))))
    assert [(body, trailers) for _, body, trailers in found] == [(body, trailers) for _, body, trailers in sent]


@given(st.data(), requests())
def test_a_request_arrives_through_both_sessions(
    data: st.DataObject, sent: tuple[bytes, bytes, list[model.Pair]]
) -> None:
    """From a client to the proxy, from there to a server that reads as the proxy does; cut on both ways."""
    raw, body, trailers = sent
    messages = read(client(), data.draw(cut(raw)))
    upstream = Http().session(Side.SERVER, 1 << 20)
    written = b"".join(upstream.send(message, 1) for message in messages)
    (arrived,) = joined(read(client(), data.draw(cut(written))), join, broken=False)
    head, arrived_body, arrived_trailers = model.parts(arrived)
    assert (arrived_body, arrived_trailers or []) == (body, trailers)
    first = model.head_of(messages[0])
    assert (head.method, head.path, head.authority) == (first.method, first.path, first.authority)
    own = {b"via", b"content-length"}
    assert [pair for pair in head.pairs if pair[0] not in own] == [pair for pair in first.pairs if pair[0] not in own]


@given(st.data(), answers)
def test_an_answer_arrives_through_both_sessions(
    data: st.DataObject, sent: tuple[bytes, bytes, list[model.Pair]]
) -> None:
    raw, body, trailers = sent
    messages = read(server(), data.draw(cut(raw)))
    downstream = client()
    downstream.receive(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
    written = b"".join(bytes(downstream.send(message, 1)) for message in messages)
    (arrived,) = joined(read(server(), data.draw(cut(written))), join, broken=False)
    _, arrived_body, arrived_trailers = model.parts(arrived)
    assert (arrived_body, arrived_trailers or []) == (body, trailers)


@given(st.data(), st.binary(max_size=200))
def test_a_client_of_http_1_0_gets_the_payload_and_no_chunks(data: st.DataObject, body: bytes) -> None:
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + data.draw(chunked(body)) + b"X-A: b\r\n\r\n"
    messages = read(server(), data.draw(cut(raw)))
    downstream = client()
    downstream.receive(b"GET / HTTP/1.0\r\n\r\n")
    written = b"".join(bytes(downstream.send(message, 1)) for message in messages)
    head, _, payload = written.partition(b"\r\n\r\n")
    assert payload == body
    assert b"chunked" not in head


@given(st.data(), st.sampled_from(list(Side)), st.binary(max_size=120))
@examples(150)
def test_no_bytes_make_a_session_fail(data: st.DataObject, side: Side, noise: bytes) -> None:
    """Damaged messages and noise: they are read or refused, and a refusal is said in one answer that can be read."""
    raw, _, _ = data.draw(requests() if side is Side.CLIENT else answers)
    place = data.draw(st.integers(0, len(raw)))
    session = client() if side is Side.CLIENT else server()
    for piece in data.draw(cut(raw[:place] + noise + raw[place:])):
        for one in session.receive(piece):
            if not isinstance(one, Chunk):
                one.known()
    # Noise may be the first bytes of HTTP/2.
    if session.error is not None and side is Side.CLIENT and session.flow == "connection":
        words = session.owed()
        assert next(one.kind for one in server().receive(words) if one.kind is not Kind.DRAIN) in (
            Kind.RESPONSE,
            Kind.ERROR,
        )


@given(st.text("ab./%2eE\\", max_size=20))
def test_a_normal_path_is_normal(path: str) -> None:
    normal = normal_path("/" + path)
    assert normal.startswith("/")
    assert not {".", ".."} & set(normal.split("/"))
    assert "//" not in normal
