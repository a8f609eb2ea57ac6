"""The load generator's open loop, bench/load.c: latency is measured from the time that a request was due."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "bench" / "load.c"
ANSWER = b"$4\r\n0000\r\n"


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> str:
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler")
    program = tmp_path_factory.mktemp("load") / "load"
    subprocess.run(["cc", "-O1", "-o", program, SOURCE], check=True)
    return str(program)


@contextmanager
def redis(delay: float) -> Iterator[int]:
    """The port of a server whose one client waits `delay` seconds for its first answer, and for no other."""

    def serve(listening: socket.socket) -> None:
        client, _ = listening.accept()
        with client:
            time.sleep(delay)
            while data := client.recv(65536):
                client.sendall(ANSWER * data.count(b"*2\r\n"))

    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        thread = threading.Thread(target=serve, args=[listening])
        thread.start()
        yield listening.getsockname()[1]
    thread.join(10)


def ask(load: str, port: int, **options: float) -> dict[str, float]:
    words = [f"--{name}={value}" for name, value in {"protocol": "redis", "body": 4, "warmup": 0, **options}.items()]
    ran = subprocess.run([load, "ask", *words, str(port)], check=True, capture_output=True, text=True, timeout=30)
    told: dict[str, float] = json.loads(ran.stdout)
    return told


def test_as_many_requests_are_sent_as_were_due(load: str) -> None:
    with redis(delay=0) as port:
        told = ask(load, port, rate=1000, seconds=0.3, depth=1000)
    assert (told["due"], told["requests"], told["unsent"], told["errors"]) == (300, 300, 0, 0)


def test_requests_behind_a_slow_answer_have_its_delay_too(load: str) -> None:
    """In a closed loop one request of many would have it, and no percentile would show it."""
    with redis(delay=0.3) as port:
        told = ask(load, port, rate=1000, seconds=0.5, depth=1)
    assert (told["due"], told["requests"]) == (500, 500)
    assert told["p50_us"] > 50_000
    assert told["p99_us"] > 250_000
    assert told["late"] > 250


def test_what_is_not_sent_in_time_is_counted(load: str) -> None:
    with redis(delay=0.3) as port:
        told = ask(load, port, rate=1000, seconds=0.4, depth=1, patience=0.1)
    assert told["due"] == 400
    assert told["unsent"] > 150
    assert told["requests"] + told["unsent"] == told["due"]


def test_a_closed_loop_has_no_schedule(load: str) -> None:
    with redis(delay=0) as port:
        told = ask(load, port, seconds=0.1)
    assert told["requests"] > 0
    assert (told["due"], told["late"], told["unsent"]) == (0, 0, 0)


@pytest.mark.parametrize("option", ["--rate=-1", "--rate=nan", "--patience=-1"])
def test_bounds_of_options(load: str, option: str) -> None:
    ran = subprocess.run([load, "ask", "--protocol=redis", option, "1"], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (2, "load: an option is out of bounds: wrong\n")
