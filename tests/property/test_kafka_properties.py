"""Whatever a batch of Kafka's holds, a copy of it has the sum of what it then is."""

from __future__ import annotations

import struct

from hypothesis import example, given
from hypothesis import strategies as st

from metaproxy.codecs.kafka import crc32c
from metaproxy.codecs.kafka.batches import without_producer

_NO_PRODUCER = struct.pack(">qhi", -1, -1, -1)


def crc(data: bytes) -> int:
    """As RFC 3720 has it, a bit at a time."""
    found = 0xFFFFFFFF
    for byte in data:
        found ^= byte
        for _ in range(8):
            found = found >> 1 ^ (0x82F63B78 if found & 1 else 0)
    return found ^ 0xFFFFFFFF


def batch(attributes: int, times: bytes, producer: bytes, records: bytes) -> bytes:
    summed = struct.pack(">hi", attributes, 3) + times + producer + struct.pack(">i", 1) + records
    rest = struct.pack(">ibI", 9, 2, crc(summed)) + summed
    return struct.pack(">qi", 0, len(rest)) + rest


def test_the_sum_is_that_of_the_rfc() -> None:
    assert crc(b"123456789") == 0xE3069283


@given(
    st.integers(0, 0x1F),
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=14, max_size=14),
    st.binary(max_size=300),
)
@example(16, bytes(16), bytes(14), b"")
@example(0, bytes(16), _NO_PRODUCER, b"r")
def test_a_batch_without_its_producer_has_its_own_sum(
    attributes: int, times: bytes, producer: bytes, records: bytes
) -> None:
    made = without_producer(batch(attributes, times, producer, records))
    assert made == batch(attributes & ~16, times, _NO_PRODUCER, records)


@given(st.binary(min_size=1, max_size=40), st.integers(0, 500), st.data())
def test_a_sum_follows_from_the_one_before_the_change(begin: bytes, behind: int, data: st.DataObject) -> None:
    other = data.draw(st.binary(min_size=len(begin), max_size=len(begin)))
    rest = bytes(behind)
    difference = bytes(one ^ two for one, two in zip(begin, other, strict=True))
    assert crc32c.changed(crc(begin + rest), difference, behind) == crc(other + rest)


@given(st.binary(min_size=1, max_size=40), st.integers(0, 40), st.integers(0, (1 << 31) - 1))
def test_however_much_is_behind_the_change_only_its_length_counts(begin: bytes, zeros: int, behind: int) -> None:
    assert crc32c.changed(0, begin + bytes(zeros), behind) == crc32c.changed(0, begin, zeros + behind)
