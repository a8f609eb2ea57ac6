"""
`metaproxy record`: has the proxy write exchanges to a file.

Lives here: the command. Does not: writing (the proxy's /record).
"""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser, Namespace

from metaproxy import units
from metaproxy.cli.answers import Recorded
from metaproxy.cli.client import Admin
from metaproxy.cli.command import Commands
from metaproxy.cli.output import DIM, Output, size, text

EVERY = 0.5
_END = "Ctrl-C ends it"


def add(commands: Commands, common: ArgumentParser) -> None:
    made = commands.add_parser("record", parents=[common], help="record exchanges to a file, until Ctrl-C or a bound")
    made.add_argument("file", metavar="NAME", nargs="?", help="of the file, in the folder of recordings")
    made.add_argument("--listener", metavar="NAME", help="only exchanges of this one")
    made.add_argument("--match", help="only those of which this holds: key=value, or conditions as JSON")
    made.add_argument("--max-bytes", metavar="SIZE", help="of the file, 64MiB for example")
    made.add_argument("--time", metavar="TIME", help="how long, 5m for example (default: 10m)")
    made.add_argument("--detach", action="store_true", help="start it, and come back at once")
    made.add_argument("--stop", action="store_true", help="end the one that is under way")
    made.set_defaults(run=run)


def run(given: Namespace, admin: Admin, output: Output) -> int:
    if given.stop:
        return _show(admin.ask("DELETE", "/record", Recorded), output)
    asked = {
        "file": given.file,
        "listener": given.listener,
        "match": given.match,
        "max_bytes": units.size(given.max_bytes) if given.max_bytes else None,
        "max_seconds": units.seconds(given.time) if given.time else None,
    }
    body = json.dumps({key: value for key, value in asked.items() if value is not None}).encode()
    state = admin.ask("POST", "/record", Recorded, body)
    if given.detach:
        return _show(state, output)
    try:
        if output.live:
            with output.console.status(f"{_words(state)}; {_END}") as shown:
                while state["recording"]:
                    time.sleep(EVERY)
                    state = admin.get("/record", Recorded)
                    shown.update(f"{_words(state)}; {_END}")
        while state["recording"]:
            time.sleep(EVERY)
            state = admin.get("/record", Recorded)
    except KeyboardInterrupt:
        state = admin.ask("DELETE", "/record", Recorded)
    return _show(state, output)


def _words(state: Recorded) -> str:
    return f"{state['exchanges']} exchanges, {size(state['bytes'])}, {state['seconds']:.0f} s"


def _show(state: Recorded, output: Output) -> int:
    if output.as_json:
        output.json(state)
        return 0
    ended = f", ended by {state['ended_by']}" if state["ended_by"] else ", under way"
    output.show(
        state["file"], f"{state['exchanges']} exchanges, {size(state['bytes'])}, {state['seconds']:.0f} s{ended}"
    )
    left = {why: count for why, count in state["left_out"].items() if count}
    if left:
        output.show(text("left out: " + ", ".join(f"{count} {why}" for why, count in left.items()), DIM))
    return 0
