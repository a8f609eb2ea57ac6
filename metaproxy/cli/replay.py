"""
`metaproxy replay FILE --to ADDRESS`: sends recorded traffic again, and compares the answers.

Lives here: the command, its report. Does not: sending (`recording.player`), comparing (`recording.recorded_answer`).
"""

from __future__ import annotations

import os
import socket
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypedDict

import yaml
from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, UNIXClientEndpoint, connectProtocol
from twisted.internet.error import ReactorNotRunning
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.python.failure import Failure

from metaproxy import units
from metaproxy.cli.answers import Latency
from metaproxy.cli.client import Admin
from metaproxy.cli.command import Commands
from metaproxy.cli.output import BAD, DIM, GOOD, Output, ms, table, text
from metaproxy.interfaces import ICodec
from metaproxy.plugins import OptionError, Registry, UnknownPlugin
from metaproxy.recording.connection import Call, Pace
from metaproxy.recording.entries import BadRecording, Entry, Recording, read
from metaproxy.recording.player import Player
from metaproxy.recording.recorded_answer import difference
from metaproxy.support import addresses as address

CONNECT = 5.0
SHOWN = 20
"""Differences that are shown; all are counted, and JSON has them all."""


def add(commands: Commands, common: ArgumentParser) -> None:
    words = "send a recording again; with --compare 1 if answers differ"
    made = commands.add_parser("replay", parents=[common], help=words)
    made.add_argument("file", metavar="FILE")
    for name, metavar, default, about in _OPTIONS:
        made.add_argument(name, metavar=metavar, default=default, required=name == "--to", help=about)
    for name, metavar, about in _LISTS:
        made.add_argument(name, metavar=metavar, action="append", default=[], help=about)
    made.add_argument("--max-inflight", type=int, default=256, help="requests under way at a time (default: 256)")
    made.add_argument("--compare", action="store_true", help="compare the answers with the recorded ones")
    made.set_defaults(run=run)


_OPTIONS = (
    ("--to", "ADDRESS", None, "host:port, [v6]:port or unix:/path of a server or proxy"),
    ("--speed", "SPEED", "1x", "1x as recorded (default), 2x twice as fast, max as fast as answers come"),
    ("--listener", "NAME", None, "only what came to this one"),
    ("--protocol", "CODEC", None, "if not the recorded one; with options: '{name: thrift, transport: framed}'"),
    ("--timeout", "TIME", "15s", "for an answer (default: 15s)"),
    ("--max-time", "TIME", "1h", "for everything (default: 1h)"),
)
_LISTS = (
    ("--ignore", "KEY", "a metadata key of answers that may differ; may be given several times"),
    ("--credential", "KEY=VALUE", "how to log in: user=app, password=env:NAME"),
    ("--plugins", "FOLDER", "a drop-in folder with the codec"),
)


def run(given: Namespace, admin: Admin, output: Output) -> int:
    recording = _recording(given.file)
    entries, skipped = _chosen(recording, given.listener)
    codec = _codec(given, entries)
    pace = Pace(
        speed=_speed(given.speed),
        ordered=given.compare,
        timeout=units.seconds(given.timeout),
        max_inflight=max(given.max_inflight, 1),
        credentials=dict(map(_credential, given.credential)),
    )
    if recording.broken:
        output.error(f"{given.file}: {recording.broken}; the exchanges before it are sent")
    calls, cut = played(entries, given.to, codec, pace, units.seconds(given.max_time))
    return report(calls, skipped, codec if given.compare else None, given.ignore, output, cut)


# -- what is sent


def _recording(file: str) -> Recording:
    try:
        with open(file, encoding="utf-8", errors="surrogateescape") as lines:
            return read(lines)
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror}") from None
    except BadRecording as error:
        raise ValueError(f"{file}: {error}") from None


def _chosen(recording: Recording, listener: str | None) -> tuple[list[Entry], int]:
    """What a server had as a whole, and how many exchanges are left out."""
    chosen = [one for one in recording.entries if listener in (None, one.listener)]
    entries = [one for one in chosen if one.answered and one.whole]
    if not entries:
        names = sorted({one.listener for one in recording.entries})
        raise ValueError(f"nothing in it that a server answered; there are exchanges of {', '.join(names) or 'none'}")
    protocols = {one.protocol: one.listener for one in entries}
    if len(protocols) > 1:
        raise ValueError(
            f"it has exchanges of {', '.join(protocols)}; write --listener {next(iter(protocols.values()))}"
        )
    return entries, len(chosen) - len(entries)


def _codec(given: Namespace, entries: Sequence[Entry]) -> ICodec:
    try:
        spec = yaml.safe_load(given.protocol) if given.protocol else entries[0].protocol
    except yaml.YAMLError:
        spec = None
    options = dict(spec) if isinstance(spec, dict) else {"name": spec}
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise ValueError(f"--protocol {given.protocol!r}; write a codec's name, or {{name: thrift, transport: framed}}")
    try:
        codec = ICodec(Registry(given.plugins).factory(ICodec, name, options)())
    except UnknownPlugin as error:
        raise ValueError(f"--protocol: {error}; there are {', '.join(error.known)}") from None
    except OptionError as error:
        raise ValueError(f"--protocol: {error.option}: {error}") from None
    assert ICodec.providedBy(codec)
    return codec


def _speed(text: str) -> float:
    if text == "max":
        return 0.0
    try:
        value = float(text.removesuffix("x"))
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise ValueError(f"--speed {text!r}; write 1x, 2x, 0.5x or max")
    return value


def _credential(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ValueError("--credential is not KEY=VALUE; write user=app or password=env:NAME")
    return key, os.environ.get(value.removeprefix("env:"), "") if value.startswith("env:") else value


# -- sending


def played(entries: Sequence[Entry], to: str, codec: ICodec, pace: Pace, max_time: float) -> tuple[list[Call], str]:
    """Runs a reactor. The calls, and why not all were made, '' if they were. Raises ValueError for a wrong address."""
    try:
        endpoint_of = _endpoint(to)
    except ValueError as error:
        raise ValueError(f"--to: {error}") from None
    from twisted.internet import reactor

    assert isinstance(reactor, ReactorBase)
    loop = reactor
    endpoint = endpoint_of(loop)
    player = Player(loop, lambda protocol: connectProtocol(endpoint, protocol), codec, pace)
    failed: list[Failure] = []

    def begin() -> None:
        playing = Deferred.fromCoroutine(player.play(entries))
        playing.addTimeout(max_time, loop).addErrback(failed.append).addBoth(lambda _: _stop(loop))

    loop.callWhenRunning(begin)
    loop.run()
    if failed and not failed[0].check("twisted.internet.defer.TimeoutError", "builtins.TimeoutError"):
        failed[0].raiseException()
    missing = len(entries) - sum(call.finished for call in player.calls)
    return [
        call for call in player.calls if call.finished
    ], f"{missing} were not sent or not answered in time" if missing else ""


def _stop(loop: ReactorBase) -> None:
    try:
        loop.stop()
    except ReactorNotRunning:  # Ctrl-C was first
        return


def _endpoint(to: str) -> Callable[[ReactorBase], IStreamClientEndpoint]:
    where = address.parse(to)
    if where.family == socket.AF_UNIX:
        return lambda reactor: UNIXClientEndpoint(reactor, where.host, timeout=CONNECT)
    kind = TCP6ClientEndpoint if where.family == socket.AF_INET6 else TCP4ClientEndpoint
    return lambda reactor: kind(reactor, where.host, where.port, timeout=CONNECT)


# -- the report


class Place(TypedDict):
    """Which exchange it is about."""

    number: int
    connection: str
    operation: str


class Different(Place):
    """An answer that differs from the recorded one."""

    differs: str


class Failed(Place):
    """A request without an answer."""

    error: str


class Latencies(TypedDict):
    """Of the same requests, when they were recorded and now."""

    recorded: Latency
    replayed: Latency


class Report(TypedDict):
    """The result, as JSON has it. cut: why not all was sent or answered, None if it was."""

    sent: int
    skipped: int
    answered: int
    failed: list[Failed]
    compared: int
    differences: list[Different]
    cut: str | None
    latency_ms: Latencies


def report(
    calls: Sequence[Call], skipped: int, codec: ICodec | None, ignore: Sequence[str], output: Output, cut: str = ""
) -> int:
    """codec: to compare with, None for no comparison. The exit code: 1 for differences, failures, or what was cut."""
    failed = [call for call in calls if call.error]
    differences: list[Different] = []
    compared = 0
    for call in calls:
        if codec is not None and call.answer is not None and call.entry.response is not None:
            compared += 1
            how = difference(codec, call.entry, call.answer, ignore, call.body)
            if how:
                differences.append(Different(**_place(call.entry), differs=how))
    result: Report = {
        "sent": len(calls),
        "skipped": skipped,
        "answered": sum(call.answer is not None for call in calls),
        "failed": [Failed(**_place(call.entry), error=call.error) for call in failed],
        "compared": compared,
        "differences": differences,
        "cut": cut or None,
        "latency_ms": {
            "recorded": _latency([call.entry.duration for call in calls if call.answer is not None]),
            "replayed": _latency([call.duration for call in calls if call.answer is not None]),
        },
    }
    if output.as_json:
        output.json(result)
    else:
        _show(result, codec is not None, output)
    return 1 if differences or cut or failed else 0


def _place(entry: Entry) -> Place:
    return Place(number=entry.number, connection=entry.connection, operation=entry.operation)


def _latency(durations: list[float]) -> Latency:
    ordered = sorted(durations)

    def percentile(share: float) -> float | None:
        return round(ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000, 3) if ordered else None

    return Latency(p50=percentile(0.5), p99=percentile(0.99))


def _show(result: Report, compared: bool, output: Output) -> None:
    failed, differences, latency = result["failed"], result["differences"], result["latency_ms"]
    output.show(f"{result['sent']} requests sent, {result['answered']} answered, {len(failed)} failed")
    if result["skipped"]:
        output.show(text(f"{result['skipped']} left out: answered by the proxy itself, or recorded in part", DIM))
    rows: list[list[object]] = [
        [name, ms(one["p50"]), ms(one["p99"])]
        for name, one in (("recorded", latency["recorded"]), ("replayed", latency["replayed"]))
    ]
    output.show(table("", ["latency", ">p50 ms", ">p99 ms"], rows))
    if failed:
        counted = Counter(one["error"] for one in failed).most_common(SHOWN)
        output.show(table("Failed", ["error", ">requests"], counted))
    if differences:
        rows = [[one["number"], one["operation"], one["differs"]] for one in differences[:SHOWN]]
        output.show(table("Differences", [">request", "operation", "how"], rows, ["operation"]))
    if compared:
        words = f"{result['compared']} answers compared, {len(differences)} differ"
        output.show(text(words, BAD if differences else GOOD))
    if result["cut"]:
        output.error(result["cut"])
