"""
Memory, CPU time and descriptors of this process, under the names that clients of Prometheus use in every language.

Lives here: `process_metrics`. Does not: what the proxy counts (`collector`), Python's own metrics, which the client
library has. Its collector of these is not used: it lists all descriptors at once, and with 10,000 of them that stops
everything else for 20 ms.
"""

from __future__ import annotations

import math
import os
import re
import resource
from collections.abc import Iterator
from itertools import islice

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

PROC = "/proc"
AT_ONCE = 500
"""Descriptors that are listed before other work may go on."""


def _counts_descriptors(release: str) -> bool:
    numbers = re.match(r"(\d+)\.(\d+)", release)
    return numbers is not None and (int(numbers[1]), int(numbers[2])) >= (6, 2)


KERNEL_COUNTS = _counts_descriptors(os.uname().release)
"""Whether the size of the folder of descriptors is their number, as Linux has it from 6.2 on."""


def process_metrics(proc: str = PROC) -> Iterator[Metric]:
    """
    Yield them as a collector does, the last one in pieces, the first of which have no sample yet. Where there is no
    `proc`, nothing.
    """
    try:
        with open(f"{proc}/self/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        booted = _booted(proc)
    except OSError:
        return
    ticks = os.sysconf("SC_CLK_TCK")
    yield _gauge("virtual_memory_bytes", "Virtual memory size in bytes.", int(fields[20]))
    yield _gauge("resident_memory_bytes", "Resident memory size in bytes.", int(fields[21]) * resource.getpagesize())
    if booted is not None:
        started = booted + int(fields[19]) / ticks
        yield _gauge("start_time_seconds", "Start time of the process since unix epoch in seconds.", started)
    spent = (int(fields[11]) + int(fields[12])) / ticks
    yield CounterMetricFamily(
        "process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", value=spent
    )
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    most = limit if limit != resource.RLIM_INFINITY else math.inf
    yield _gauge("max_fds", "Maximum number of open file descriptors.", most)
    try:
        yield from _open(f"{proc}/self/fd")
    except OSError:  # no descriptor is left to list them with
        return


def _open(folder: str) -> Iterator[Metric]:
    about = "Number of open file descriptors."
    number = 0
    if KERNEL_COUNTS:
        number = os.stat(folder).st_size
    else:
        with os.scandir(folder) as entries:
            while some := sum(1 for _ in islice(entries, AT_ONCE)):
                number += some
                yield GaugeMetricFamily("process_open_fds", about)
    yield _gauge("open_fds", about, number)


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(f"process_{name}", about, value=value)


def _booted(proc: str) -> float | None:
    """Return when the machine was started, in seconds of the Unix epoch; None where /proc does not have it."""
    with open(f"{proc}/stat", "rb") as file:
        return next((float(line.split()[1]) for line in file if line.startswith(b"btime ")), None)
