"""
`metaproxy record`: has the proxy write exchanges to a file.

Lives here: the command. Does not: writing (the proxy's /record).
"""

from __future__ import annotations

import json
import time
from typing import Any

from metaproxy import units
from metaproxy.cli.client import Admin
from metaproxy.cli.output import DIM, Output, size, text

EVERY = 0.5


def add(commands: Any, common: Any) -> None:
    made = commands.add_parser("record", parents=[common], help="record exchanges to a file, until Ctrl-C or a bound")
    made.add_argument("file", metavar="NAME", nargs="?", help="of the file, in the folder of recordings")
    made.add_argument("--listener", metavar="NAME", help="only exchanges of this one")
    made.add_argument("--match", help="only those of which this holds: key=value, or conditions as JSON")
    made.add_argument("--max-bytes", metavar="SIZE", help="of the file, 64MiB for example")
    made.add_argument("--time", metavar="TIME", help="how long, 5m for example (default: 10m)")
    made.add_argument("--detach", action="store_true", help="start it, and come back at once")
    made.add_argument("--stop", action="store_true", help="end the one that is under way")
    made.set_defaults(run=run)


def run(given: Any, admin: Admin, output: Output) -> int:
    if given.stop:
        return _told(admin.ask("DELETE", "/record"), output)
    asked = {
        "file": given.file,
        "listener": given.listener,
        "match": given.match,
        "max_bytes": units.size(given.max_bytes) if given.max_bytes else None,
        "max_seconds": units.seconds(given.time) if given.time else None,
    }
    body = json.dumps({key: value for key, value in asked.items() if value is not None}).encode()
    told = admin.ask("POST", "/record", body)
    if given.detach:
        return _told(told, output)
    try:
        if output.live:
            with output.console.status(_words(told)) as shown:
                while told["recording"]:
                    time.sleep(EVERY)
                    told = admin.get("/record")
                    shown.update(_words(told))
        while told["recording"]:
            time.sleep(EVERY)
            told = admin.get("/record")
    except KeyboardInterrupt:
        told = admin.ask("DELETE", "/record")
    return _told(told, output)


def _words(told: dict[str, Any]) -> str:
    return f"{told['exchanges']} exchanges, {size(told['bytes'])}, {told['seconds']:.0f} s; Ctrl-C ends it"


def _told(told: dict[str, Any], output: Output) -> int:
    if output.as_json:
        output.json(told)
        return 0
    ended = f", ended by {told['ended_by']}" if told["ended_by"] else ", under way"
    output.show(told["file"], f"{told['exchanges']} exchanges, {size(told['bytes'])}, {told['seconds']:.0f} s{ended}")
    left = {why: count for why, count in told["left_out"].items() if count}
    if left:
        output.show(text("left out: " + ", ".join(f"{count} {why}" for why, count in left.items()), DIM))
    return 0
