"""
`metaproxy top --statements`: the statements of databases that take the time, by their fingerprint.

Lives here: its rows and columns. Does not: when it is drawn (`top`), counting (the proxy's /statements).
"""

from __future__ import annotations

from rich.console import Group
from rich.text import Text

from metaproxy.cli.answers import StatementFigures, StatementRow, Statements
from metaproxy.cli.output import BAD, DIM, ms, size, table, text
from metaproxy.counts import WELL

_FIGURES = (">calls", ">errors", ">rows", ">bytes", ">total ms", ">p50 ms", ">p99 ms", ">slowest ms")
_DROP = ("since", "outcomes", "database", "fingerprint", "cluster", "command", "bytes", "user", "rows", "total ms")


def shown(found: Statements) -> Group:
    total = found["total"]
    head = Text.assemble(
        ("metaproxy top  ", "bold"), f"{total['calls']} statements, ",
        (f"{total['errors']} errors", BAD if total["errors"] else ""), f", {total['total_ms'] / 1000:.1f} s",
        (f"  {_counted(found)}", DIM),
    )  # fmt: skip
    columns = ["fingerprint", "user", "database", "cluster", "command", *_FIGURES, "since", "outcomes", "statement"]
    rows = [_row(one) for one in found["statements"]]
    if found["other"] is not None:
        rows.append(["", "", "", "", "", *_figures(found["other"]), "", "", _outcomes(found["other"]), "others"])
    return Group(head, table("", columns, rows, _DROP) if rows else text("no statement ended so far", DIM))


def _counted(found: Statements) -> str:
    listeners = found["listeners"]
    return ", ".join(f"{one['name']} since {one['since'] or '-'}" for one in listeners) or "no listener has statements"


def _row(one: StatementRow) -> list[object]:
    return [
        one["fingerprint"], one["user"], one["database"], one["cluster"], one["command"], *_figures(one),
        ms(one["slowest"]["duration_ms"]), one["since"][:19], _outcomes(one), one["text"],
    ]  # fmt: skip


def _figures(one: StatementFigures) -> list[object]:
    """All but the slowest, which a sum does not have."""
    return [
        one["calls"], text(one["errors"], BAD if one["errors"] else ""), "" if one["rows"] is None else one["rows"],
        size(one["request_bytes"] + one["response_bytes"]), ms(one["total_ms"]), ms(one["latency_ms"]["p50"]),
        ms(one["latency_ms"]["p99"]),
    ]  # fmt: skip


def _outcomes(one: StatementFigures) -> Text:
    return text(" ".join(f"{name} {count}" for name, count in one["outcomes"].items() if name not in WELL), BAD)
