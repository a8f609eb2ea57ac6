"""The names that a Reply may have are those that the reference of each codec has, and they reach the client."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from metaproxy.codecs.dubbo import Dubbo
from metaproxy.codecs.redis import Redis
from metaproxy.codecs.thrift import Thrift
from metaproxy.message import ErrorKind, Side

PAGES = Path(__file__).parents[3] / "docs" / "reference" / "codecs"
DUBBO_CALL = bytes.fromhex(
    "dabbc20000000000000000070000003c05322e302e320964656d6f2e4563686f05302e302e30046563686f124c6a6176612f6c616e672f53747269"
    "6e673b026869480567726f75700267315a"
)
THRIFT_CALL = bytes.fromhex("0000001a80010001000000046563686f000000070b000100000002686900")
CODECS: list[tuple[Any, bytes]] = [
    (Dubbo(), DUBBO_CALL), (Thrift(), THRIFT_CALL), (Redis(), b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n"),
]  # fmt: skip


def documented(codec: Any) -> list[str]:
    """The names in the paragraph of the codec's page that lists them."""
    page = (PAGES / f"{codec.name}.md").read_text()
    found = re.search(r"(?:A reply can name|A filter can name)(.*?)(?:\n\n|\. )", page, re.DOTALL)
    assert found is not None
    return re.findall(r"`(\w+)`", found[1])


@pytest.mark.parametrize(("codec", "call"), CODECS, ids=lambda one: getattr(one, "name", ""))
def test_a_codec_knows_the_names_of_its_page_and_each_makes_an_answer_of_its_own(codec: Any, call: bytes) -> None:
    (request,) = codec.session(Side.CLIENT, 1000).receive(call)
    names = documented(codec)
    assert len(names) >= 2
    plain = codec.reply(request, ErrorKind.INTERNAL, "why")
    answers = {name: codec.reply(request, ErrorKind.INTERNAL, "why", name) for name in names}
    assert all(codec.knows(name) and b"why" in answers[name] for name in names)
    own = {"server_error", "internal_error"}  # those that INTERNAL stands for
    assert [name for name in names if answers[name] == plain and name not in own] == []
    assert not codec.knows("no-such-error")
