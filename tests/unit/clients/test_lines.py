from __future__ import annotations

import pytest

from metaproxy.clients.http import HttpFailed
from metaproxy.clients.lines import Lines


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_lines_are_handed_on_whole_however_they_come(size: int) -> None:
    found: list[bytes] = []
    lines = Lines(found.append, 100)
    data = b"one\n\ntwo\n  \nthree\nfo"
    for at in range(0, len(data), size):
        lines.received(data[at : at + size])
    assert found == [b"one", b"two", b"three"]


def test_a_line_that_is_too_long_is_refused_before_it_ends() -> None:
    found: list[bytes] = []
    lines = Lines(found.append, 10)
    lines.received(b"123456789\n123456789")
    with pytest.raises(HttpFailed, match="more than 10 bytes"):
        lines.received(b"01")
    assert found == [b"123456789"]
