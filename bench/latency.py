"""
`python -m bench.latency`: latency at fixed rates, a share of what each subject can do at most.

Lives here: which rates, their rows, the table. Does not: the open loop (`load.c`, `loads`), subjects and their start
(`subjects`, `run`).
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

from bench.loads import Case, LoadFailed, Result, backends
from bench.processes import Cores, NotStarted, Running
from bench.programs import machine, programs
from bench.run import SMALL, WARMUP, Starter
from bench.subjects import ALL, SUBJECTS, Subject

CONNECTIONS = 64
"""Of both loops. The maximum is that of one request in flight on each: each comes by itself, as in the open loop."""
DEPTH = 16
"""Requests that the open loop may have in flight on each connection."""
LEFT_OUT = ("envoy generic_proxy", "envoy tcp_proxy")
_DISTURBED_WAIT = 0.1
_DISTURBED_LATE = 0.01
"""Shares from which on a round is disturbed: of time without the core, and of requests that went out late."""
_MARK = (
    "!: in most rounds requests went out late, or the proxy waited for its core: others had the cores, or the rate\n"
    "was more than could be kept up. These are no figures to quote: repeat them on a quiet machine."
)


@dataclass(frozen=True, slots=True)
class Options:
    """shares: of each subject's maximum, in percent."""

    protocols: list[str]
    subjects: list[Subject]
    shares: list[float]
    rounds: int
    seconds: float
    json: Path | None


@dataclass(slots=True)
class Row:
    """A subject at a share of its maximum: (maximum of the round, rate that was asked for, result) for each round."""

    protocol: str
    subject: str
    share: float
    rounds: list[tuple[float, float, Result]] = field(default_factory=list)
    failure: str = ""

    def middle(self, name: str) -> float | None:
        values = [value for _, _, one in self.rounds if (value := getattr(one, name)) is not None]
        return median(values) if values else None

    def sum(self, name: str) -> int:
        return sum(getattr(one, name) for _, _, one in self.rounds)

    def disturbed(self) -> bool:
        """Whether most rounds were: their figures say little about the proxy."""
        return sum(map(_is_disturbed, self.rounds)) * 2 > len(self.rounds)

    def data(self) -> dict[str, Any]:
        """The row for JSON."""
        names = ("p50", "p99", "p999", "cpu")
        return {
            "protocol": self.protocol,
            "subject": self.subject,
            "share": self.share,
            "failure": self.failure,
            "disturbed": self.disturbed(),
            "medians": {name: self.middle(name) for name in names},
            "rounds": [{"maximum": most, "rate": rate, **asdict(one)} for most, rate, one in self.rounds],
        }


def _is_disturbed(one: tuple[float, float, Result]) -> bool:
    result = one[2]
    return result.late > _DISTURBED_LATE * result.due or (result.proxy_waited or 0.0) > _DISTURBED_WAIT


def table(rows: Iterable[Row]) -> str:
    """One line a subject and share, below the name of each protocol."""
    lines = [
        f"{'':24}{'of its max':>10} {'maximum/s':>10} {'rate/s':>9} {'p50 ms':>8} {'p99 ms':>8} {'p99.9 ms':>9}"
        f" {'CPU µs':>7} {'wait %':>6} {'late %':>6} {'unsent':>6}  errors"
    ]
    protocol, marked = "", False
    for row in rows:
        if row.protocol != protocol:
            lines += ["", row.protocol]
            protocol = row.protocol
        marked = marked or row.disturbed()
        lines.append(_line(row))
    if marked:
        lines += ["", _MARK]
    return "\n".join(lines)


def _line(row: Row) -> str:
    name = f"  {row.subject:22}{row.share:>9g}%"
    if not row.rounds:
        return f"{name} {row.failure}"
    most, rate = (median(values) for values in ([one[0] for one in row.rounds], [one[1] for one in row.rounds]))
    late = row.sum("late") / (row.sum("due") or 1)
    figures = f"{most:>10.0f} {rate:>9.0f} {_number(row.middle('p50'), 8, 3)} {_number(row.middle('p99'), 8, 3)}"
    figures += f" {_number(row.middle('p999'), 9, 3)} {_number(row.middle('cpu'), 7, 1)}"
    figures += f" {_number(row.middle('proxy_waited'), 6, 0, 100)} {late:>6.1%} {row.sum('unsent'):>6}"
    first = next((one.first_error for _, _, one in row.rounds if one.errors), "")
    errors = f"{row.sum('errors')} {first.strip()}".strip() + (f"; {row.failure}" if row.failure else "")
    return f"{name} {figures}  {errors}{' !' if row.disturbed() else ''}"


def _number(value: float | None, width: int, digits: int, scale: float = 1.0) -> str:
    return f"{'-':>{width}}" if value is None else f"{value * scale:>{width}.{digits}f}"


def measure(options: Options, starter: Starter) -> list[Row]:
    """Every round goes through all subjects, each with its own maximum of that round."""
    rows: dict[tuple[str, str], list[Row]] = {
        (protocol, subject.name): [Row(protocol, subject.name, share) for share in options.shares]
        for protocol in options.protocols
        for subject in options.subjects
        if protocol in subject.protocols
    }
    for number in range(options.rounds):
        for protocol in options.protocols:
            for subject in options.subjects:
                own = rows.get((protocol, subject.name), [])
                if not own or any(row.failure for row in own):
                    continue
                print(f"round {number + 1}/{options.rounds}: {protocol}, {subject.name}", file=sys.stderr)
                try:
                    with starter.started(subject, protocol, 1) as (port, process):
                        _measure_shares(own, options.seconds, starter, port, process)
                except (NotStarted, LoadFailed) as error:
                    for row in own:
                        row.failure = f"not measured: {error}"
    return [row for several in rows.values() for row in several]


def _measure_shares(rows: Sequence[Row], seconds: float, starter: Starter, port: int, process: Running | None) -> None:
    """Raises LoadFailed."""
    protocol = rows[0].protocol
    closed = Case(protocol, "get" if protocol == "redis" else "", CONNECTIONS, 1, SMALL, 1)
    most = starter.behind.ask(closed, port, WARMUP, 1.0, process).requests_per_second
    for row in rows:
        rate = most * row.share / 100
        result = starter.behind.ask(replace(closed, depth=DEPTH), port, WARMUP, seconds, process, rate)
        row.rounds.append((most, rate, result))


def read_options(words: Sequence[str] | None = None) -> Options:
    parser = argparse.ArgumentParser(
        "python -m bench.latency",
        description="Latency at fixed rates, in an open loop: each request is due at its time.",
    )
    parser.add_argument("--only", type=_words, default="dubbo,thrift,redis", help=f"of {','.join(ALL)}; %(default)s")
    parser.add_argument("--subjects", type=_words, help="beginnings of names, such as metaproxy,envoy")
    parser.add_argument(
        "--shares", type=_shares, default="50,80", help="percent of what each can do at most; %(default)s"
    )
    parser.add_argument("--rounds", type=int, default=3, help="a figure is their median; %(default)s")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each rate in each round; %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure of every round there")
    given = parser.parse_args(words)
    if unknown := set(given.only) - set(ALL):
        parser.error(f"--only: no protocol {', '.join(sorted(unknown))}; there are {', '.join(ALL)}")
    all_subjects = [one for one in SUBJECTS if not one.feature and one.name not in LEFT_OUT]
    subjects = [one for one in all_subjects if given.subjects is None or one.name.startswith(tuple(given.subjects))]
    if not subjects:
        parser.error(f"--subjects: no name begins so; there are {'; '.join(one.name for one in all_subjects)}")
    if given.rounds < 1 or not given.seconds > 0:
        parser.error("--rounds is 1 or more, and --seconds more than 0")
    return Options(given.only, subjects, given.shares, given.rounds, given.seconds, given.json)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _shares(text: str) -> list[float]:
    """Raises ArgumentTypeError, whose text argparse shows."""
    try:
        shares = [float(word) for word in _words(text)]
    except ValueError:
        shares = []
    if not shares or not all(0 < share <= 200 for share in shares):
        raise argparse.ArgumentTypeError(f"{text!r}; write percentages above 0 up to 200, such as 50,80")
    return shares


def main() -> None:
    options = read_options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as an exception, so that what was started is ended
    found, cores = programs(), Cores()
    redis = found["redis-server"]
    if redis.missing and "redis" in options.protocols:
        print(f"bench: no rows for Redis, redis-server is {redis.missing}", file=sys.stderr)
        options.protocols.remove("redis")
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        with backends(found["load"].path, redis.path, options.protocols, (SMALL,), folder) as behind:
            rows = measure(options, Starter(found, cores, folder, behind))
    where = f"{machine()}; {cores.count} cores, the proxy alone on {cores.proxy}"
    print(f"{where}\n{options.rounds} rounds of {options.seconds:g} s a rate, {CONNECTIONS} connections, {SMALL} B\n")
    print(table(rows))
    if options.json:
        versions = {name: program.missing or program.version for name, program in found.items()}
        options.json.write_text(
            json.dumps({"machine": where, **versions, "rows": [row.data() for row in rows]}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
