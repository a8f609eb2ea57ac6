"""
`metaproxy tap`: exchanges as they end, a line each; streams also as they begin.

Lives here: the command. Does not: choosing and decoding (the proxy's /tap).
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import cast

from rich.text import Text

from metaproxy.cli.answers import Tapped, TappedChunk
from metaproxy.cli.client import Admin
from metaproxy.cli.command import Commands
from metaproxy.cli.output import BAD, DIM, Output, ms, outcome, text

CHARACTERS = 60
"""Of what a piece of a stream holds."""
EVENTS = {"request_head": "request", "response_head": "answer"}
"""Words for a stream that has not ended: which of its heads went on."""


def add(commands: Commands, common: ArgumentParser) -> None:
    made = commands.add_parser("tap", parents=[common], help="exchanges as they end, decoded; until Ctrl-C")
    made.add_argument("--listener", metavar="NAME", help="only of this one")
    made.add_argument("--match", help="only those of which this holds: key=value, or conditions as JSON")
    made.add_argument("--limit", type=int, help="end after so many")
    made.add_argument("--rate", type=float, help="so many a second at most (default: 100)")
    made.add_argument("--chunks", action="store_true", help="show each piece of streams")
    made.add_argument("--why", action="store_true", help="tell why each went where it went")
    made.set_defaults(run=run)


def run(given: Namespace, admin: Admin, output: Output) -> int:
    query = {"listener": given.listener, "match": given.match, "limit": given.limit, "rate": given.rate}
    query["chunks"] = 1 if given.chunks else None
    for one in admin.lines("/tap", Tapped, **query):
        if output.as_json:
            output.json(one, one_line=True)
            continue
        if one.get("lost"):
            output.show(text(f"... {one['lost']} lost here", DIM))
        if one.get("event") == "chunk":
            output.show(chunk(cast(TappedChunk, one)))
        else:
            output.show(line(one), *(why(one) if given.why else ()))
    return 0


def chunk(one: TappedChunk) -> Text:
    """A piece of a stream: which way it went, and the beginning of what it holds, in one line."""
    way = ">" if one["half"] == "request" else "<"
    first = one.get("first", {})
    said = first.get("text", first.get("base64", ""))[:CHARACTERS]
    end = " " + " ".join(f"{key}={value}" for key, value in one["trailers"].items()) if "trailers" in one else ""
    return Text.assemble(
        (one["time"][11:23], DIM), " ", f"{way:9} ", text(one["source"]), " ", text(one["operation"], "bold"),
        (f" #{one['id']} {one['kind'].removeprefix('stream_')} {one['bytes']} B ", DIM),
        text(" ".join(said.split())), text(end, DIM),
    )  # fmt: skip


def line(one: Tapped) -> Text:
    tries = f" x{one['attempts']}" if one["attempts"] > 1 else ""
    event = one.get("event", "end")
    ended = outcome(f"{one['outcome']:9}") if event == "end" else text(f"{EVENTS.get(event, event):9}", DIM)
    shown = Text.assemble(
        (one["time"][11:23], DIM), " ", ended, f" {ms(one['duration_ms']):>6} ms  ",
        text(one["source"]), " ", text(one["operation"], "bold"), " ", (f"{_sizes(one)} ", DIM),
        text(one["route"]), " -> ", text(f"{one['cluster']} {one['endpoint']}{tries}"),
    )  # fmt: skip
    if one["details"]:
        shown.append_text(text(f"  {one['details']}", BAD))
    if "mirror" in one:
        shown.append_text(text(f"  mirror {one['mirror']['cluster']}: {one['mirror']['differs']}", BAD))
    return shown


def _sizes(one: Tapped) -> str:
    sizes = f"{one['request']['bytes']}>{one['response_bytes']} B"
    if "stream" not in one:
        return sizes
    return f"{sizes} in {one['stream']['request']['chunks']}>{one['stream']['response']['chunks']} pieces"


def why(one: Tapped) -> list[Text]:
    reasons = one["why"]
    passed = [(f"not {route['route']}", route["why"]) for route in reasons.get("passed_over", ())]
    words = [*passed, ("route", reasons["route"]), ("cluster", reasons["cluster"]), ("endpoint", reasons["endpoint"])]
    metadata = " ".join(f"{key}={value}" for key, value in one["request"]["metadata"].items())
    return [text(f"    {name}: {value}", DIM) for name, value in [("metadata", metadata), *words]]
