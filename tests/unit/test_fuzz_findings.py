"""What fuzzers found, and their seeds, without a fuzzer: each input goes through its target (tests/fuzz)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "fuzz"))

from fuzz_all import NAMES
from fuzz_by_chance import CUTTERS, Cutting, tried
from fuzz_path import ANSWER, CLIENT, LAST_CLIENT, SEPARATOR, SERVER, check_path
from fuzz_sessions import Peers, check_session
from fuzz_targets import CORPUS, TARGETS
from mysql_words import greeting, login, ok, query

from metaproxy.codecs.cutters import COMPILED
from metaproxy.codecs.framing import Codec, Session
from metaproxy.codecs.mysql import MySQL
from metaproxy.codecs.mysql.packets import numbered
from metaproxy.codecs.mysql.server import ServerSession
from metaproxy.message import ErrorKind, FrameError, Kind, Message, Side
from metaproxy.testing.watchdog import Watchdog

INPUTS = sorted(path for path in CORPUS.glob("*/*") if path.is_file())


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: f"{path.parent.name}-{path.name[:20]}")
def test_what_was_found_is_mended(path: Path) -> None:
    with Watchdog() as watchdog:
        watchdog.begin()
        TARGETS[path.parent.name](path.read_bytes())
        watchdog.end()


@pytest.mark.parametrize("name", TARGETS)
def test_each_seed_passes(name: str) -> None:
    seeds = list(TARGETS[name].seeds())
    assert seeds
    for seed in seeds[:: max(1, len(seeds) // 100)]:
        TARGETS[name](seed)


def test_all_targets_run_and_have_inputs_in_the_repository() -> None:
    assert set(NAMES) == set(TARGETS) == {path.parent.name for path in INPUTS}
    assert all(path.stat().st_size <= 4096 for path in INPUTS)


# -- the checks find what they are for


class Faulty(Session):
    """A session of lines with a fault."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self._fault, self._line = fault, b""

    def receive(self, data: bytes) -> list[Message]:
        if self.error is not None and self._fault != "reads on":
            return []
        if self._fault == "raises" and b"!" in data:
            raise ValueError("no")
        if self._fault == "changes its error" or b"?" in data:
            self.error = FrameError("bad")
        if self._fault == "says much":
            self.owes = True
        before = b"" if self._fault == "forgets" else self._line
        *lines, self._line = (before + data).split(b"\n")
        self.buffered = 1 << 20 if self._fault == "holds much" else len(self._line)
        return [Message(Kind.REQUEST, one + b"\n") for one in lines]

    def send(self, message: Message, id: int) -> bytes:
        return message.frame * (2 if self._fault == "sends twice" else 1)

    def owed(self) -> bytes:
        self.owes = False
        return bytes(1 << 20) if self._fault == "says much" else b""


class FaultyCodec(Codec):
    def __init__(self, fault: str) -> None:
        self._fault = fault

    def session(self, side: Side, max_frame: int) -> Session:
        return Faulty(self._fault)

    def reply(self, request: Message, kind: ErrorKind, text: str, name: str = "") -> bytes:
        if self._fault == "raises in reply":
            raise FrameError("no")
        return b"no\n"


@pytest.mark.parametrize(
    ("fault", "stream"),
    [
        ("raises", b"a!\n"), ("forgets", b"one\ntwo\n"), ("reads on", b"one?\n"), ("changes its error", b"one\n"),
        ("holds much", b"o"), ("says much", b"one\n"), ("raises in reply", b"one\n"),
    ],
)  # fmt: skip
def test_a_session_with_a_fault_is_found(fault: str, stream: bytes) -> None:
    check_session(lambda: FaultyCodec("none"), Side.CLIENT, Peers(), 2, stream)
    with pytest.raises((AssertionError, ValueError, FrameError)):
        check_session(lambda: FaultyCodec(fault), Side.CLIENT, Peers(), 2, stream)


@pytest.mark.parametrize(
    ("fault", "said"), [("raises", b"a!\n"), ("raises in reply", b"one\n"), ("sends twice", b"one\n")]
)
def test_a_codec_that_raises_or_smuggles_in_the_data_path_is_found(fault: str, said: bytes) -> None:
    script = SEPARATOR.join([CLIENT + said, ANSWER])
    check_path(FaultyCodec("none"), script)
    with pytest.raises((AssertionError, FrameError)):
        check_path(FaultyCodec(fault), script)


class Misnumbering(ServerSession):
    """Commands go out under the number of a packet that a login goes on with."""

    def send(self, message: Message, id: int) -> bytes:
        frame = super().send(message, id)
        return frame if frame[3] else numbered(frame, 45)


class MisnumberingCodec(MySQL):
    def session(self, side: Side, max_frame: int) -> Session:
        return super().session(side, max_frame) if side is Side.CLIENT else Misnumbering(max_frame, max_frame)


def test_what_a_server_must_be_sent_depends_on_what_it_said_itself() -> None:
    script = [SERVER + greeting(), LAST_CLIENT + login(), SERVER + ok(2), LAST_CLIENT + query("select 1")]
    check_path(MySQL(), SEPARATOR.join(script), MySQL())
    with pytest.raises(AssertionError, match="not the protocol"):
        check_path(MisnumberingCodec(), SEPARATOR.join(script), MySQL())


@pytest.mark.skipif(not COMPILED, reason="the cutters are not compiled")
@pytest.mark.parametrize("name", CUTTERS)
def test_damaged_frames_come_to_the_cutter(name: str, tmp_path: Path) -> None:
    cutting = Cutting(name)
    with (tmp_path / "last").open("wb") as last:
        assert tried(cutting, list(cutting.seeds()), 0.05, last.fileno())
    assert cutting.taken
