"""
Four codecs and the mistakes that their authors could have made, each an edit of the source of one.

Lives here: `caught`; `FAMILIES`: of each example codec the frames; its mutants are in mutants/*.txt: `== what is
wrong`, then for each edit `@ file`, the lines that go (`-`) and those that come (`+`). Does not: any assertion.
"""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from metaproxy.codecs import framing
from metaproxy.testing import check_codec

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
MUTANTS = Path(__file__).parents[1] / "unit" / "mutants"


class Edit(NamedTuple):
    """file: framing.py, or that of the codec."""

    file: str
    old: str
    new: str


class Family(NamedTuple):
    """file: of the codec; make: the name of its class; arguments: what `check_codec` is given besides."""

    file: str
    make: str
    client: list[bytes]
    server: list[bytes]
    arguments: Mapping[str, Any]

    def mutants(self) -> dict[str, list[Edit]]:
        """What is wrong -> the edits that make it so."""
        if self.make in _FOUND:
            return _FOUND[self.make]
        found = _FOUND[self.make] = {}
        for block in re.split(r"^== ", (MUTANTS / f"{self.make.lower()}.txt").read_text(), flags=re.MULTILINE)[1:]:
            name, _, text = block.partition("\n")
            assert name not in found, f"two mutants: {name}"
            found[name] = [_edit(piece) for piece in re.split(r"^@ ", text, flags=re.MULTILINE)[1:]]
        return found

    def codec(self, edits: Sequence[Edit] = ()) -> Any:
        """The codec with the edits made. An edit that finds nothing to change is a mistake of ours."""
        ours = [edit for edit in edits if edit.file == self.file]
        others = [edit for edit in edits if edit.file != self.file]
        text = (EXAMPLES / self.file).read_text()
        if others:
            _module("mutated_framing", Path(framing.__file__).read_text(), others)
            text = text.replace("from metaproxy.codecs.framing import", "from mutated_framing import")
        return getattr(_module(f"mutated_{self.make}", text, ours), self.make)()


_FOUND: dict[str, dict[str, list[Edit]]] = {}


def _edit(text: str) -> Edit:
    file, *lines = text.rstrip("\n").split("\n")
    sides = ["\n".join(line[1:] for line in lines if line[:1] == sign) for sign in "-+"]
    return Edit(file, *sides)


def _module(name: str, text: str, edits: Sequence[Edit]) -> types.ModuleType:
    for edit in edits:
        assert edit.old in text, f"nothing to change: {edit.old!r}"
        text = text.replace(edit.old, edit.new)
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(text, name, "exec"), vars(module))
    return module


def _quill() -> Family:
    call = bytes.fromhex("0000000f 0000000000000007 04 6563686f 6869")
    short = bytes.fromhex("0000000d 0000000000000008 03 736179 21")
    answer = bytes.fromhex("0000000b 0000000000000007 00 6869")
    error = bytes.fromhex("0000000b 0000000000000008 80 6e6f")
    return Family("quill.py", "Quill", [call, short], [answer, error], {})


def _crate() -> Family:
    client = [b"get a\r\n", b"get a b c\r\n", b"set a 5\r\nhello\r\n", b"set b 2 noreply\r\nhi\r\n", b"version\r\n"]
    server = [
        b"END\r\n", b"VALUE a 5\r\nhello\r\nEND\r\n",
        b"VALUE a 1\r\n1\r\nVALUE b 2\r\n\r\n\r\nVALUE c 1\r\n3\r\nEND\r\n",
        b"STORED\r\n", b"ERROR no\r\n", b"VERSION 1\r\n",
    ]  # fmt: skip
    return Family("crate.py", "Crate", client, server, {})


def _ledger() -> Family:
    def frame(type: bytes, body: bytes = b"") -> bytes:
        return (3 + len(body)).to_bytes(2, "big") + type + body

    client = [
        frame(b"Q", b"show all"),
        frame(b"B"),
        frame(b"Q", b"add 1"),
        frame(b"C"),
        frame(b"U", b"blue"),
        frame(b"X"),
    ]
    server = [frame(b"R", b"1"), frame(b"E", b"no"), frame(b"N", b"hi")]
    arguments = {"credentials": {"username": "anna", "password": "pw"}, "login": [frame(b"R")]}
    return Family("ledger.py", "Ledger", client, server, arguments)


def _parcel() -> Family:
    def string(text: bytes) -> bytes:
        return len(text).to_bytes(2, "big") + text

    def packed(flags: int, id: int, rest: bytes = b"") -> bytes:
        return bytes([0xA7, flags]) + id.to_bytes(4, "big") + len(rest).to_bytes(4, "big") + rest

    pair = string(b"User") + string(b"bob")
    client = [
        packed(1, 7, string(b"echo") + b"\x02" + pair + string(b"zone") + string(b"east") + b"hello"),
        packed(3, 8, string(b"tell") + b"\0x"), packed(5, 9), packed(4, 9),
    ]  # fmt: skip
    server = [
        packed(0, 7, b"\1" + string(b"size") + string(b"5") + b"hello"), packed(8, 7, b"no"), packed(5, 3),
        packed(4, 3), packed(16, 0),
    ]  # fmt: skip
    return Family("parcel.py", "Parcel", client, server, {})


FAMILIES = {family.make: family for family in (_quill(), _crate(), _ledger(), _parcel())}


def caught(family: Family, mutant: str) -> str:
    """What check_codec says of a mutant, or nothing."""
    try:
        check_codec(family.codec(family.mutants()[mutant]), family.client, family.server, **family.arguments)
    except AssertionError as error:
        return str(error)
    return ""
