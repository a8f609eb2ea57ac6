"""Clients that speak compressed though it was not offered, as some drivers do, hear of it; others go on without."""

from __future__ import annotations

import zlib
from typing import Any

import pytest
from mysql_words import BASE, MAX, C, Pair, greeting, login, ok, query

from metaproxy.codecs.framing import Session
from metaproxy.codecs.mysql import MySQL
from metaproxy.codecs.mysql.handshake import Greeting, Login
from metaproxy.codecs.mysql.packets import HEAD, packet, payload_of, read_error
from metaproxy.codecs.mysql.passwords import SHA2, proof
from metaproxy.message import Kind, Message, Side

LONG = query("select 1 from a_table_with_a_very_long_name where its_column = 'a value'")


def compressed(data: bytes, small: bool) -> bytes:
    body = data if small else zlib.compress(data)
    size = 0 if small else len(data)
    return len(body).to_bytes(3, "little") + b"\0" + size.to_bytes(3, "little") + body


def passing(flags: int) -> Session:
    pair = Pair(flags=flags)
    return pair.client


def pooled(flags: int) -> Session:
    session: Any = MySQL(users={"ann": "pencil"}).session(Side.CLIENT, MAX)
    greeted = Greeting.read(payload_of(session.open(None, {})))
    answer = proof(SHA2, b"pencil", greeted.challenge)
    session.receive(packet(Login(flags, 1 << 24, 45, b"ann", answer, b"", SHA2, b"").write(), 1))
    session.send(Message(Kind.RESPONSE, ok(2)), 0)
    return session  # type: ignore[no-any-return]


@pytest.mark.parametrize("enter", [passing, pooled])
@pytest.mark.parametrize("data", [compressed(query("select 1"), True), compressed(LONG, False)], ids=["small", "long"])
def test_a_client_that_compresses_is_answered_in_its_own_way(enter: Any, data: bytes) -> None:
    session = enter(BASE | C.COMPRESS)
    assert session.receive(data) == [] and session.closing
    said = session.owed()
    assert said[:7] == (len(said) - 7).to_bytes(3, "little") + b"\1\0\0\0"
    assert "Compression is not offered" in read_error(said[7 + HEAD :]).text


@pytest.mark.parametrize("enter", [passing, pooled])
@pytest.mark.parametrize("flags", [C.COMPRESS, C.ZSTD_COMPRESSION])
def test_one_that_only_says_so_goes_on(enter: Any, flags: int) -> None:
    session = enter(BASE | flags)
    for said in (LONG, query("select 1")):
        (message,) = session.receive(said)
        assert (message.kind, message.answer) == (Kind.REQUEST, None)


def test_the_server_is_not_told_that_it_would_compress() -> None:
    pair = Pair(logged_in=False)
    pair.hears(greeting())
    pair.says(login(BASE | C.COMPRESS | C.ZSTD_COMPRESSION))
    assert pair.take()[0] == login(BASE)
