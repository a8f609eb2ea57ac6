"""Header blocks: what the hpack library reads of ours and we of its; what is kept, what is refused."""

from __future__ import annotations

import hpack
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from metaproxy.codecs.http.http2.compression import Decoder, Encoder
from metaproxy.codecs.http.http2.frames import Code, ConnectionFault

NAMES = st.one_of(
    st.sampled_from([b":path", b":status", b"content-type", b"x-one", b"x-two", b"date", b"authorization"]),
    st.binary(min_size=1, max_size=200),
)
VALUES = st.one_of(st.sampled_from([b"", b"200", b"/", b"text/html", b"a" * 300]), st.binary(max_size=300))
LISTS = st.lists(st.lists(st.tuples(NAMES, VALUES), max_size=12), max_size=12)


def read_by_hpack(decoder: hpack.Decoder, block: bytes) -> list[tuple[bytes, bytes]]:
    return [(bytes(name), bytes(value)) for name, value in decoder.decode(block, raw=True)]


@examples(30)
@given(LISTS, st.sampled_from([4096, 200, 0]))
def test_the_library_reads_what_the_encoder_writes(lists: list[list[tuple[bytes, bytes]]], table: int) -> None:
    encoder, decoder = Encoder(), hpack.Decoder(1 << 20)
    encoder.limit(table)
    decoder.max_allowed_table_size = table
    for fields in lists * 3:
        assert read_by_hpack(decoder, encoder.encode(fields, key=tuple(fields))) == fields


@examples(30)
@given(LISTS, st.booleans(), st.lists(st.sampled_from([4096, 200, 0]), max_size=3))
def test_the_decoder_reads_what_the_library_writes(
    lists: list[list[tuple[bytes, bytes]]], huffman: bool, tables: list[int]
) -> None:
    encoder, decoder = hpack.Encoder(), Decoder(1 << 20)
    for at, fields in enumerate(lists * 3):
        if at < len(tables):
            encoder.header_table_size = tables[at]
        assert decoder.decode(encoder.encode(fields, huffman)).fields == fields


def test_a_block_that_comes_again_is_not_read_again() -> None:
    encoder, decoder = hpack.Encoder(), Decoder(65536)
    fields = [(":method", "POST"), (":path", "/a.B/C"), ("content-type", "application/grpc")]
    first, second, third = (encoder.encode(fields) for _ in range(3))
    assert second == third != first
    decoder.decode(first)
    assert decoder.decode(second) is decoder.decode(third)


def test_a_block_that_comes_again_after_the_table_changed_is_read_again() -> None:
    encoder, decoder = hpack.Encoder(), Decoder(65536)
    for value in ("1", "2", "3"):
        encoder_fields = [("x-one", value)]
        decoder.decode(encoder.encode(encoder_fields))
        newest = decoder.decode(b"\xbe")  # the first entry of the dynamic table
        assert newest.fields == [(b"x-one", value.encode())]


def test_a_repeated_block_is_a_few_bytes() -> None:
    encoder = Encoder()
    fields = [(b":status", b"200"), (b"content-type", b"application/grpc"), (b"server", b"one")]
    sizes = [len(encoder.encode(fields, key=1)) for _ in range(4)]
    assert sizes[2] == sizes[3] == 3
    assert encoder.kept(1) == encoder.encode(fields)


def test_values_that_change_with_each_message_do_not_use_up_the_table() -> None:
    encoder, decoder = Encoder(), hpack.Decoder()
    fixed = (b"x-fixed", b"v" * 50)
    for at in range(500):
        fields = [(b"x-request-id", b"%050d" % at), fixed]
        assert read_by_hpack(decoder, encoder.encode(fields)) == fields
    assert len(encoder.encode([fixed])) == 1


@pytest.mark.parametrize("name", [b"authorization", b"proxy-authorization", b"cookie", b"set-cookie"])
def test_secrets_are_in_no_table(name: bytes) -> None:
    encoder = Encoder()
    blocks = {encoder.encode([(name, b"s3cret")]) for _ in range(4)}
    (block,) = blocks
    assert block[0] & 0xF0 == 0x10
    assert b"s3cret" in block


def test_what_a_peer_let_into_no_table_gets_into_none_on_the_other_side() -> None:
    found = Decoder(65536).decode(bytes.fromhex("10 03 782d61 01 31"))
    assert (found.fields, found.never) == ([(b"x-a", b"1")], frozenset({b"x-a"}))
    encoder = Encoder()
    assert {encoder.encode(found.fields, found.never) for _ in range(4)} == {bytes.fromhex("10 03 782d61 01 31")}


def test_a_peer_that_takes_a_smaller_table_gets_the_change_in_front_of_the_next_block() -> None:
    encoder = Encoder()
    fields = [(b"x-one", b"1")]
    for _ in range(3):
        encoder.encode(fields)
    encoder.limit(100)
    assert encoder.encode(fields)[:3] == bytes.fromhex("20 3f 45")
    encoder.limit(1 << 20)
    assert encoder.encode(fields)[:4] == bytes.fromhex("20 3f e1 1f")


BROKEN = {
    "index 0": "80",
    "an index beyond the tables": "be",
    "a far index": "ff ff ff ff 0f",
    "a number without end": "ff ff ff ff ff ff ff ff 7f",
    "a name by index 62 of an empty table": "7f 00 00",
    "a name that is cut": "40 05 61",
    "a value that is cut": "40 01 61 05 62",
    "no value": "40 01 61",
    "a table that is larger than ours": "3f e2 1f",
    "a table's size behind a field": "82 20",
    "Huffman code with the end of string": "00 84 ff ff ff ff 00",
    "Huffman code with 8 bits of padding": "00 01 61 82 1f ff",
}


@pytest.mark.parametrize("block", BROKEN.values(), ids=BROKEN)
def test_a_block_that_cannot_be_read_ends_the_connection(block: str) -> None:
    with pytest.raises(ConnectionFault) as caught:
        Decoder(65536).decode(bytes.fromhex(block))
    assert caught.value.code is Code.COMPRESSION_ERROR


def test_a_small_block_that_stands_for_a_large_list_is_cut_at_the_bound() -> None:
    """An HPACK bomb: one entry of 4 KiB, then a byte for each time that it comes again."""
    decoder = Decoder(65536)
    bomb = b"\x40\x01a\x7f" + bytes.fromhex("a1 1e") + b"v" * 4000 + b"\xbe" * 60000
    found = decoder.decode(bomb)
    assert found.oversized
    assert sum(len(name) + len(value) + 32 for name, value in found.fields) <= 65536
    assert len({id(value) for _, value in found.fields}) == 1  # no copy of it was made
    # The connection can go on: the table is as the peer has it.
    assert decoder.decode(b"\xbe").fields == [(b"a", b"v" * 4000)]
