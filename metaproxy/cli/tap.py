"""
`metaproxy tap`: exchanges as they end, a line each.

Lives here: the command. Does not: choosing and decoding (the proxy's /tap).
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from rich.text import Text

from metaproxy.cli.answers import Tapped
from metaproxy.cli.client import Admin
from metaproxy.cli.command import Commands
from metaproxy.cli.output import BAD, DIM, Output, ms, outcome, text


def add(commands: Commands, common: ArgumentParser) -> None:
    made = commands.add_parser("tap", parents=[common], help="exchanges as they end, decoded; until Ctrl-C")
    made.add_argument("--listener", metavar="NAME", help="only of this one")
    made.add_argument("--match", help="only those of which this holds: key=value, or conditions as JSON")
    made.add_argument("--limit", type=int, help="end after so many")
    made.add_argument("--rate", type=float, help="so many a second at most (default: 100)")
    made.add_argument("--why", action="store_true", help="tell why each went where it went")
    made.set_defaults(run=run)


def run(given: Namespace, admin: Admin, output: Output) -> int:
    query = {"listener": given.listener, "match": given.match, "limit": given.limit, "rate": given.rate}
    for one in admin.lines("/tap", Tapped, **query):
        if output.as_json:
            output.json(one, one_line=True)
            continue
        if one.get("lost"):
            output.show(text(f"... {one['lost']} lost here", DIM))
        output.show(line(one), *(why(one) if given.why else ()))
    return 0


def line(one: Tapped) -> Text:
    tries = f" x{one['attempts']}" if one["attempts"] > 1 else ""
    shown = Text.assemble(
        (one["time"][11:23], DIM), " ", outcome(f"{one['outcome']:9}"), f" {ms(one['duration_ms']):>6} ms  ",
        text(one["source"]), " ", text(one["operation"], "bold"), " ", (f"{_sizes(one)} ", DIM),
        text(one["route"]), " -> ", text(f"{one['cluster']} {one['endpoint']}{tries}"),
    )  # fmt: skip
    if one["details"]:
        shown.append_text(text(f"  {one['details']}", BAD))
    if "mirror" in one:
        shown.append_text(text(f"  mirror {one['mirror']['cluster']}: {one['mirror']['differs']}", BAD))
    return shown


def _sizes(one: Tapped) -> str:
    return f"{one['request']['bytes']}>{one['response_bytes']} B"


def why(one: Tapped) -> list[Text]:
    reasons = one["why"]
    passed = [(f"not {route['route']}", route["why"]) for route in reasons.get("passed_over", ())]
    words = [*passed, ("route", reasons["route"]), ("cluster", reasons["cluster"]), ("endpoint", reasons["endpoint"])]
    metadata = " ".join(f"{key}={value}" for key, value in one["request"]["metadata"].items())
    return [text(f"    {name}: {value}", DIM) for name, value in [("metadata", metadata), *words]]
