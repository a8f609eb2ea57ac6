"""
Clients that measure how long they wait, in a process of their own: what the load costs this side is not in the figures.

Run as `python tests/soak/chaos_neighbours.py NAME=PORT ...` until its stdin ends; prints a `Report` as JSON.
Lives here: both sides of that. Does not: a client (tests/shared/calls.py), which waits count (chaos_faults.py).
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "shared"))
from calls import Neighbour
from chaos_load import PROTOCOLS

EACH = 2
"""Clients of each listener."""


@dataclass
class Report:
    """
    What the clients of one listener saw. waits: when a request was sent, by the system's monotonic clock, and the
    seconds until it had its end. owed: requests without an end.
    """

    sent: int = 0
    owed: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    waits: list[tuple[float, float]] = field(default_factory=list)

    def add(self, neighbour: Neighbour) -> None:
        self.sent += neighbour.sent
        self.owed += neighbour.owed
        self.wrong += neighbour.wrong
        self.waits += neighbour.waits
        for kind, count in neighbour.outcomes.items():
            self.outcomes[kind] = self.outcomes.get(kind, 0) + count


class Neighbours:
    """The process, as the test sees it."""

    def __init__(self, ports: dict[str, int], log: Path) -> None:
        command = [sys.executable, __file__, *(f"{name}={port}" for name, port in ports.items())]
        with log.open("ab") as errors:
            self._process = subprocess.Popen(command, stdin=-1, stdout=-1, stderr=errors, start_new_session=True)

    def finish(self) -> dict[str, Report]:
        """By listener."""
        out, _ = self._process.communicate(timeout=30)
        return {name: Report(**report) for name, report in json.loads(out).items()}

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()


async def measure(ports: dict[str, int]) -> dict[str, Report]:
    loop = asyncio.get_running_loop()
    made = [(name, Neighbour(PROTOCOLS[name], number)) for name in ports for number in range(EACH)]
    for name, neighbour in made:
        await loop.create_connection(neighbour.itself, "127.0.0.1", ports[name])
    await asyncio.to_thread(sys.stdin.read)
    for _, neighbour in made:
        neighbour.stopping = True
    for _ in range(200):
        if not any(neighbour.owed for _, neighbour in made):
            break
        await asyncio.sleep(0.05)
    reports = {name: Report() for name in ports}
    for name, neighbour in made:
        neighbour.close()
        reports[name].add(neighbour)
    return reports


def main(arguments: list[str]) -> None:
    if os.geteuid() == 0:
        os.nice(-10)  # it is to be woken at once, or its own wait for a core is measured
    ports = {name: int(port) for name, _, port in (argument.partition("=") for argument in arguments)}
    print(json.dumps({name: asdict(report) for name, report in asyncio.run(measure(ports)).items()}))


if __name__ == "__main__":
    main(sys.argv[1:])
