from __future__ import annotations

from asking import Terminal


def test_it_tells_listeners_and_endpoints_and_that_all_is_well():
    terminal = Terminal()
    terminal.traffic("echo", "echo", "gone")
    assert terminal.run("status") == 0
    assert "metaproxy sidecar-1 demo ready at http://127.0.0.1:9901" in terminal.out
    front = next(line for line in terminal.out.splitlines() if line.startswith(" front"))
    assert front.split() == ["front", "quill", "127.0.0.1:80", "listening", "1", "0", "3", "0"]
    assert sum(line.startswith(" demo") and "healthy" in line for line in terminal.out.splitlines()) == 2


def test_what_is_out_is_told_and_a_proxy_that_drains_is_not_ready():
    terminal = Terminal()
    cluster = terminal.desk.running.cluster
    cluster.drain(terminal.desk.running.endpoints[0])
    cluster.eject(terminal.desk.running.endpoints[1])
    terminal.desk.proxy.drain()
    assert terminal.run("status") == 1
    assert "metaproxy sidecar-1 demo draining" in terminal.out
    assert "drained" in terminal.out
    assert "ejected" in terminal.out


def test_a_configuration_that_was_refused_comes_with_its_errors():
    terminal = Terminal()
    terminal.desk.configuration.apply_text("wrong")
    terminal.run("status")
    assert "was refused" in terminal.out
    assert "demo.yaml:7:18" in terminal.out


def test_scripts_get_json():
    terminal = Terminal()
    assert terminal.run("status", "--json") == 0
    assert terminal.json["server"]["ready"] is True
    assert terminal.json["listeners"][0]["name"] == "front"
