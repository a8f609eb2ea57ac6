"""
Random and damaged bytes to each codec and each cutter, without a fuzzer: what `make fuzz-asan` runs where the compiled
modules are watched by AddressSanitizer, which atheris does not go with.

    PYTHONPATH=$PWD:$PWD/tests/shared python tests/fuzz/fuzz_by_chance.py --seconds 30 [TARGET...]

The input that is tried is in .fuzz/last when a sanitizer ends the process; byte 0 and 1 are those of a fuzz target.
Lives here: damage, the checks of a cutter. Does not: what must hold of a session (`fuzz_sessions`), the seeds.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from fuzz_targets import MOST, TARGETS

from metaproxy.codecs.brpc import Brpc
from metaproxy.codecs.cutters import COMPILED
from metaproxy.codecs.dubbo import Dubbo
from metaproxy.codecs.framing import Codec, Cutter
from metaproxy.codecs.redis import Redis
from metaproxy.codecs.thrift import Thrift
from metaproxy.codecs.trpc import Trpc
from metaproxy.message import Message, Side

LAST = Path(__file__).parents[2] / ".fuzz" / "last"
CUTTERS: dict[str, Callable[[], Codec]] = {
    "brpc": Brpc, "dubbo": Dubbo, "redis": Redis, "thrift": Thrift, "trpc": Trpc,
}  # fmt: skip
"""Codecs whose sessions have a cutter."""
_EDGES = (b"\0", b"\xff", b"\x7f", b"\x80", b"\r\n", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"9" * 9)
_ROUND = 64
"""Inputs between two looks at the time."""


def damaged(frames: Sequence[bytes], draw: random.Random) -> bytes:
    """Some good frames in a row, mostly the same one, with bytes changed, removed, put in and cut off."""
    if draw.random() < 0.05:
        return draw.randbytes(draw.randrange(3, 300))
    first = draw.choice(frames)
    stream = bytearray(first * draw.randrange(1, 5))
    if draw.random() < 0.5:
        stream += draw.choice(frames)
    for _ in range(draw.choice((0, 1, 1, 2, 4))):
        place = draw.randrange(len(stream) + 1)
        stream[place : place + draw.randrange(5)] = draw.choice((*_EDGES, b"", draw.randbytes(1), draw.randbytes(8)))
    if draw.random() < 0.5:
        del stream[draw.randrange(len(stream) + 1) :]
    return bytes(stream[:MOST])


class Cutting:
    """A cutter alone: it takes whole frames as they are, up to a place that is there, wherever it begins."""

    def __init__(self, name: str) -> None:
        self._codec = CUTTERS[name]()
        self._frames = {
            side: [seed[2:] for seed in TARGETS[name].seeds() if seed[0] == place] for place, side in enumerate(Side)
        }
        self.taken = 0

    def seeds(self) -> Iterator[bytes]:
        for place, side in enumerate(Side):
            yield from (bytes((place, 0)) + frame for frame in self._frames[side])

    def __call__(self, data: bytes) -> None:
        side = tuple(Side)[data[0] & 1]
        frames, stream = self._frames[side], data[2:]
        session = self._codec.session(side, 1024)
        if side is Side.SERVER:
            session.open(None, {})
        known = frames[data[1] % len(frames)]
        session.receive(known * 2)  # it knows that head from now on
        cutter = session.cutter
        assert cutter is not None
        self._check(cutter, stream, 0)
        self._check(cutter, known + stream, 0)
        self._check(cutter, stream, data[1] % (len(stream) + 1))

    def _check(self, cutter: Cutter, stream: bytes, at: int) -> None:
        messages: list[Message] = []
        stop = cutter(stream, at, messages)
        assert at <= stop <= len(stream), f"from {at} to {stop} of {len(stream)}"
        assert b"".join(message.frame for message in messages) == stream[at:stop]
        for message in messages:
            message.known()
        self.taken += len(messages)


def tried(target: Callable[[bytes], None], seeds: Sequence[bytes], seconds: float, last: int) -> int:
    """How many inputs a target took in so many seconds. last: the file that each is written to."""
    draw, runs = random.Random(0), 0
    for seed in draw.sample(seeds, min(len(seeds), _ROUND)):  # what a codec makes once takes no time of its inputs
        target(seed)
    end = time.monotonic() + seconds
    heads = sorted({seed[:1] for seed in seeds})
    by_head = {head: [seed[2:] for seed in seeds if seed[:1] == head] for head in heads}
    while time.monotonic() < end:
        for _ in range(_ROUND):
            head = draw.choice(heads)
            data = head + draw.randbytes(1) + damaged(by_head[head], draw)
            os.pwrite(last, data, 0)
            os.ftruncate(last, len(data))
            target(data)
        runs += _ROUND
    return runs


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=30.0, help="for all targets together")
    parser.add_argument("targets", nargs="*", help=f"some of {', '.join(TARGETS)}; all by default")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.targets) - set(TARGETS))
    if unknown:
        parser.error(f"there is no target {', '.join(unknown)}; write some of {', '.join(TARGETS)}")
    if not COMPILED:
        parser.error("nothing is compiled here: see tools/compile_tree")
    names = options.targets or list(TARGETS)
    cutting = {name: Cutting(name) for name in names if name in CUTTERS}
    each = options.seconds / (len(names) + len(cutting))
    LAST.parent.mkdir(exist_ok=True)
    last = os.open(LAST, os.O_RDWR | os.O_CREAT, 0o644)
    runs = 0
    for name, cutter in cutting.items():
        count = tried(cutter, list(cutter.seeds()), each, last)
        print(f"{name}, cutter: {count} inputs, {cutter.taken} frames cut", flush=True)
        if not cutter.taken:
            print(f"{name}: the cutter took nothing, so nothing was tried")
            return 1
        runs += count
    for name in names:
        count = tried(TARGETS[name], list(TARGETS[name].seeds()), each, last)
        print(f"{name}: {count} inputs", flush=True)
        runs += count
    print(f"{runs} inputs, nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
