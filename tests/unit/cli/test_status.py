from __future__ import annotations

import io
import re

import pytest
from asking import Terminal
from rich.console import Console

from metaproxy.cli.main import main, parser
from metaproxy.cli.output import Output


def test_it_tells_listeners_and_endpoints_and_that_all_is_well() -> None:
    terminal = Terminal()
    terminal.traffic("echo", "echo", "gone")
    assert terminal.run("status") == 0
    assert "metaproxy sidecar-1 demo ready at http://127.0.0.1:9901" in terminal.out
    front = next(line for line in terminal.out.splitlines() if line.startswith("front"))
    assert front.split() == ["front", "quill", "127.0.0.1:80", "listening", "1", "0", "3", "0"]
    assert sum(line.startswith("demo") and "healthy" in line for line in terminal.out.splitlines()) == 2


def test_what_is_out_is_told_and_a_proxy_that_drains_is_not_ready() -> None:
    terminal = Terminal()
    cluster = terminal.desk.running.cluster
    cluster.drain(terminal.desk.running.endpoints[0])
    cluster.eject(terminal.desk.running.endpoints[1])
    terminal.desk.proxy.drain()
    assert terminal.run("status") == 1
    assert "metaproxy sidecar-1 demo draining" in terminal.out
    assert "drained" in terminal.out
    assert "ejected" in terminal.out


def test_a_configuration_that_was_refused_comes_with_its_errors() -> None:
    terminal = Terminal()
    terminal.desk.configuration.apply_text("wrong")
    terminal.run("status")
    assert "was refused" in terminal.out
    assert "demo.yaml:7:18" in terminal.out


def test_scripts_get_json() -> None:
    terminal = Terminal()
    assert terminal.run("status", "--json") == 0
    assert terminal.json["server"]["ready"] is True
    assert terminal.json["listeners"][0]["name"] == "front"


def out_of_service(terminal: Terminal) -> None:
    for one in terminal.desk.running.endpoints:
        terminal.desk.running.cluster.eject(one)


def test_the_role_of_a_server_stands_beside_its_address() -> None:
    terminal = Terminal()
    terminal.desk.running.endpoints[0].learn({"role": "primary"})
    terminal.run("status")
    assert "127.0.0.1:1000 primary" in terminal.out


def test_a_cluster_without_a_usable_endpoint_is_in_the_exit_code_and_on_top() -> None:
    terminal = Terminal()
    assert terminal.run("status") == 0
    assert "nothing is wrong" in terminal.out
    out_of_service(terminal)
    assert terminal.run("status") == 1
    assert "bad  Cluster demo: 2 of 2 endpoints out" in terminal.out.splitlines()[1]
    assert terminal.run("status", "--json") == 1
    assert (terminal.json["worst"], terminal.json["problems"][0]["kind"]) == ("bad", "endpoints_out")


def make(terminal: Terminal, state: str) -> None:
    if state == "a warning":
        terminal.desk.running.cluster.eject(terminal.desk.running.endpoints[0])
    elif state == "bad":
        out_of_service(terminal)
    elif state == "a note":
        terminal.desk.running.cluster.drain(terminal.desk.running.endpoints[0])
    elif state == "not ready":
        terminal.desk.proxy.drain()


@pytest.mark.parametrize(
    ("state", "codes"),
    [
        ("well", [0, 0, 0, 0]),
        ("a note", [0, 0, 0, 0]),
        ("a warning", [0, 0, 0, 1]),
        ("bad", [0, 0, 1, 1]),
        ("not ready", [0, 1, 1, 1]),
    ],
)
def test_from_what_on_it_ends_with_1_is_a_choice(state: str, codes: list[int]) -> None:
    terminal = Terminal()
    make(terminal, state)
    found = [terminal.run("status", "--fail-on", level) for level in ("never", "not-ready", "degraded", "problems")]
    assert found == codes


def test_another_choice_is_an_error_that_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["status", "--fail-on", "always"])
    assert caught.value.code == 2
    assert "'degraded'" in capsys.readouterr().err


def test_latency_and_errors_are_of_the_last_seconds_and_not_since_the_start() -> None:
    terminal = Terminal()
    desk = terminal.desk
    desk.admin.windows.start()
    counts = desk.running.endpoints[0].counts
    for second in range(60):
        for _ in range(50):
            counts.latency.add(0.001)
        counts.requests += 50
        counts.errors += second < 5
        desk.clock.advance(1.0)
    for _ in range(10):
        counts.latency.add(0.8)
        counts.requests += 1
        desk.clock.advance(1.0)
    terminal.run("status")
    row = next(line for line in terminal.out.splitlines() if line.startswith("demo     127.0.0.1:1000")).split()
    assert row[5:7] == ["1.0", "0"]
    assert [float(cell) for cell in row[7:]] == [pytest.approx(n, rel=0.1) for n in (800, 800, 1)]
    assert "Endpoint 127.0.0.1:1000 of demo is slow: p99 is " in terminal.out
    terminal.run("status", "--seconds", "60")
    row = next(line for line in terminal.out.splitlines() if line.startswith("demo     127.0.0.1:1000")).split()
    assert float(row[7]) == pytest.approx(1, rel=0.1)


def drawn(terminal: Terminal, width: int) -> list[str]:
    """What `status` draws on a terminal of that width."""
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=True, no_color=True, highlight=False, legacy_windows=False)
    given = parser().parse_args(["status"])
    given.run(given, terminal.admin, Output(console=console, errors=console))
    return [line.rstrip() for line in Console(width=10_000).render_str(file.getvalue()).plain.splitlines()]


@pytest.mark.parametrize("width", [40, 80, 120])
def test_on_a_narrow_terminal_each_row_is_a_line_and_names_stay_whole(width: int) -> None:
    terminal = Terminal()
    terminal.traffic("echo", "echo")
    lines = [escape.sub("", line) for line in drawn(terminal, width)]
    assert max(map(len, lines)) <= width
    assert sum(line.startswith("demo ") for line in lines) == 2
    for address in ("127.0.0.1:1000", "127.0.0.1:1001"):
        assert sum(address in line for line in lines) == 1


escape = re.compile("\x1b\\[[0-9;]*m")
