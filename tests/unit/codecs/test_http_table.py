"""Each request and answer of the table ends where it should, or is refused with what it should."""

from __future__ import annotations

import http_table as table
import pytest
from http_table import Accepted, Refused

from metaproxy.codecs.http import Http, model
from metaproxy.interfaces import ISession
from metaproxy.message import Chunk, Kind, Message, Side


def name(case: Accepted | Refused) -> str:
    return f"{case.rule}: {case.name}"


def client() -> ISession:
    return Http().session(Side.CLIENT, 1 << 24)


def server(method: bytes = b"GET") -> ISession:
    session = Http().session(Side.SERVER, 1 << 24)
    session.send(model.whole(model.request_head(method, b"/", b"a.example", []), b"", 1), 1)
    return session


def answers(messages: list[Message]) -> list[Message]:
    return [message for message in messages if message.kind not in (Kind.DRAIN, Kind.INTERIM)]


def test_the_table_has_150_rows_with_names_of_their_own() -> None:
    rows = [*table.GOOD_REQUESTS, *table.BAD_REQUESTS, *table.GOOD_ANSWERS, *table.BAD_ANSWERS]
    assert len(rows) >= 150
    for part in (table.GOOD_REQUESTS, table.BAD_REQUESTS, table.GOOD_ANSWERS, table.BAD_ANSWERS):
        assert len({name(case) for case in part}) == len(part)


@pytest.mark.parametrize("case", table.GOOD_REQUESTS, ids=name)
def test_a_request_ends_where_the_next_one_begins(case: Accepted) -> None:
    session = client()
    messages = session.receive(case.data + table.NEXT)
    assert session.error is None
    assert session.closing is case.last
    assert len(messages) == (1 if case.last else 2)
    assert messages[0].kind is Kind.REQUEST
    assert model.parts(messages[0])[1] == case.body
    assert model.trailer_block(model.parts(messages[0])[2] or []) == case.trailers
    if not case.last:
        assert messages[1].get("path") == "/next"


@pytest.mark.parametrize("case", table.GOOD_REQUESTS, ids=name)
def test_a_request_that_comes_byte_by_byte_is_the_same(case: Accepted) -> None:
    session = client()
    messages = [message for byte in case.data for message in session.receive(bytes([byte]))]
    assert session.error is None
    payload = b"".join(chunk.frame for chunk in messages if isinstance(chunk, Chunk))
    assert payload == case.body or model.parts(messages[0])[1] == case.body
    assert messages[-1].kind is (Kind.STREAM_CLOSE if messages[0].kind is Kind.STREAM_OPEN else Kind.REQUEST)


@pytest.mark.parametrize("case", table.GOOD_REQUESTS, ids=name)
def test_a_request_goes_to_the_server_so_that_a_second_reader_sees_the_same(case: Accepted) -> None:
    message = client().receive(case.data)[0]
    written = Http().session(Side.SERVER, 1 << 24).send(message, 1)
    again = client().receive(written + table.NEXT)
    assert len(again) == 2
    assert model.parts(again[0])[1] == case.body
    first, second = model.head_of(message), model.head_of(again[0])
    assert (second.method, second.path, second.authority) == (first.method, first.path, first.authority)


@pytest.mark.parametrize("case", table.BAD_REQUESTS, ids=name)
def test_a_request_is_refused_with_its_status(case: Refused) -> None:
    session = client()
    messages = session.receive(case.data)
    assert session.error is not None
    assert messages == []
    assert session.owed().startswith(b"HTTP/1.1 %d " % case.status)
    assert b"\r\nconnection: close\r\n" in session.owed()


@pytest.mark.parametrize("case", table.BAD_REQUESTS, ids=name)
def test_a_request_is_refused_byte_by_byte_too(case: Refused) -> None:
    session = client()
    messages = [message for byte in case.data for message in session.receive(bytes([byte]))]
    assert session.error is not None
    assert all(message.kind is not Kind.REQUEST and message.kind is not Kind.STREAM_CLOSE for message in messages)
    assert session.owed().startswith(b"HTTP/1.1 %d " % case.status)


@pytest.mark.parametrize("case", table.GOOD_ANSWERS, ids=name)
def test_an_answer_ends_where_it_should(case: Accepted) -> None:
    session = server(case.to)
    messages = session.receive(case.data)
    assert session.error is None
    assert (Kind.DRAIN in [message.kind for message in messages]) is case.last
    found = answers(messages)
    if case.body is None:
        found += session.eof()
        assert [message.kind for message in found] == [Kind.STREAM_OPEN, Kind.STREAM_DATA, Kind.STREAM_CLOSE]
        assert found[1].frame == b"hello"
        return
    (message,) = found
    assert message.kind is (Kind.ERROR if (message.get("status") or "") >= "500" else Kind.RESPONSE)
    assert model.parts(message)[1] == case.body
    assert model.trailer_block(model.parts(message)[2] or []) == case.trailers


@pytest.mark.parametrize("case", [case for case in table.GOOD_ANSWERS if case.body is not None], ids=name)
def test_an_answer_leaves_its_connection_to_the_next_one(case: Accepted) -> None:
    session = server(case.to)
    session.receive(case.data)
    session.send(model.whole(model.request_head(b"GET", b"/", b"a.example", []), b"", 2), 2)
    found = answers(session.receive(table.OK + b"Content-Length: 4\r\n\r\nnext"))
    assert [model.parts(message)[1] for message in found] == ([] if case.last else [b"next"])


@pytest.mark.parametrize("case", table.GOOD_ANSWERS, ids=name)
def test_an_answer_that_comes_byte_by_byte_is_the_same(case: Accepted) -> None:
    session = server(case.to)
    messages = [message for byte in case.data for message in session.receive(bytes([byte]))]
    assert session.error is None
    found = answers(messages + session.eof())
    payload = b"".join(chunk.frame for chunk in found if isinstance(chunk, Chunk))
    assert payload == (b"hello" if case.body is None else case.body) or model.parts(found[0])[1] == case.body


@pytest.mark.parametrize("case", table.BAD_ANSWERS, ids=name)
@pytest.mark.parametrize("step", [1, 1 << 20], ids=["byte by byte", "at once"])
def test_an_answer_is_refused(case: Refused, step: int) -> None:
    session = server()
    pieces = [case.data[at : at + step] for at in range(0, len(case.data), step)]
    found = answers([message for piece in pieces for message in session.receive(piece)])
    assert session.error is not None
    assert all(message.kind in (Kind.STREAM_OPEN, Kind.STREAM_DATA) for message in found)
