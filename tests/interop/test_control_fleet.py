"""
One control plane with real Envoys and metaproxies as its clients, while requests pass.

Lives here: what a fleet does with updates, refusals, rollouts, a control plane that dies. Does not: the protocol
(tests/unit/control, tests/property); the figure of 1,000 updates (bench/fleet.py).
"""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from running import PEERS, ROOT, eventually, free_port

from bench.fleet import Client, Fleet, Outcome, drive, resources

ENVOY = PEERS / "python" / "envoy" / "envoy" / "_bin" / "envoy"
TWISTD = ROOT / ".venv" / "bin" / "twistd"

pytestmark = pytest.mark.peer("envoy")
Made = Callable[..., Fleet]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Made]:
    """fleet(metaproxies): a control plane, so many metaproxies, and one Envoy."""
    made: list[Fleet] = []

    def start(metaproxies: int = 0, **options: Any) -> Fleet:
        made.append(Fleet(tmp_path, metaproxies, str(ENVOY), str(TWISTD), **options).__enter__())
        assert eventually(lambda: answers(made[0]), 20)
        return made[0]

    yield start
    for each in made:
        each.__exit__(None, None, None)
    for log in tmp_path.glob("*.log"):
        assert "Traceback" not in log.read_text(errors="replace"), log.read_text(errors="replace")[-3000:]


def answers(fleet: Fleet) -> bool:
    try:
        return bool(fleet.shown("/fleet"))
    except OSError:
        return False


def returned(fleet: Fleet) -> object:
    """Return why and when the rollout was ended; None while it was not."""
    rollouts = fleet.shown("/rollouts")["rollouts"]
    return rollouts[0]["returned"] if rollouts else None


def versions(fleet: Fleet) -> dict[tuple[str, str], str]:
    """Return the versions by release and group."""
    return {(one["release"], one["group"]): one["version"] for one in fleet.shown("/versions")["versions"]}


def states(fleet: Fleet) -> dict[str, str]:
    return {one["id"]: one["state"] for one in fleet.shown("/fleet")["nodes"]}


def test_each_update_is_in_force_on_all_proxies_and_no_request_fails(fleet: Made) -> None:
    made = fleet(3)
    outcome = asyncio.run(drive(made, 12))
    assert outcome.lost == []
    assert outcome.failed == []
    assert len(outcome.all) == 12
    assert set(states(made).values()) == {"in force"}


def test_what_an_envoy_refuses_is_shown_with_its_reason_and_what_it_had_stays(fleet: Made) -> None:
    made = fleet()
    outcome = asyncio.run(drive(made, 1))
    assert outcome.failed == outcome.lost == []
    own = {"listeners": [{"name": "own", "listen": f"127.0.0.1:{free_port()}", "protocol": "dubbo", "routes": []}]}
    (made.source / "own.yaml").write_text(json.dumps(own))
    assert eventually(lambda: states(made) == {"envoy": "refused"}, 10)
    (refusal, *_) = made.shown("/fleet")["nodes"][0]["refused"]
    assert refusal["name"] == "own"
    assert "metaproxy.config.v1.Listener" in refusal["error"]
    (made.source / "own.yaml").unlink()
    assert eventually(lambda: states(made) == {"envoy": "in force"}, 10)


def test_what_is_wrong_in_the_folder_reaches_no_proxy(fleet: Made) -> None:
    made = fleet()
    assert asyncio.run(drive(made, 1)).lost == []
    before = versions(made)
    (made.source / "wrong.yaml").write_text("listenerss: []")
    assert eventually(lambda: made.shown("/fleet")["refused"], 10)
    assert "wrong.yaml:1:1" in made.shown("/fleet")["refused"][0]
    assert versions(made) == before


def test_a_control_plane_that_is_killed_and_has_changed_when_it_is_back_fails_no_request(fleet: Made) -> None:
    # Over delta, where a client says what it has: of the state of the world a new server does not know what it removes.
    made = fleet(1, delta=True)

    async def before(number: int) -> None:
        if number == 3:
            made.stop("control")
            await asyncio.sleep(0.5)
            made.start_control()

    outcome = asyncio.run(drive(made, 5, before))
    assert outcome.failed == []
    assert outcome.lost == []
    assert set(states(made).values()) == {"in force"}


def test_two_servers_of_one_folder_serve_the_same_versions(fleet: Made) -> None:
    made = fleet()
    assert asyncio.run(drive(made, 3)).lost == []
    first = versions(made)
    made.stop("control")
    made.start_control()
    assert eventually(lambda: answers(made), 20)
    assert versions(made) == first


def test_a_rollout_whose_requests_fail_is_taken_back(fleet: Made) -> None:
    made = fleet(1, first={"metaproxy-0"}, scrape="1s")
    good, closed = {"a": free_port(), "b": free_port()}, free_port()
    start = datetime.now(UTC) - timedelta(seconds=1)
    rollout = {
        "version": "v2", "before": "v1", "start": start.isoformat(timespec="seconds"), "first": {"canary": "true"},
        "steps": [{"percent": 0, "hold": "10m"}], "return_when": {"errors": 5, "requests": 20, "window": "30s"},
    }  # fmt: skip

    async def story() -> str:
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", good["a"])
        for version, port in (("v1", good["a"]), ("v2", closed)):
            (made.source / "versions" / version).mkdir(parents=True)
            documents = resources(0, {"a": port})[0]
            (made.source / "versions" / version / "mesh.json").write_text(json.dumps(documents))
        (made.source / "rollout.yaml").write_text(json.dumps({"rollout": rollout}))
        outcome = Outcome()
        client = asyncio.create_task(Client("canary", made.ports["metaproxy-0"], outcome).run())
        ended = await asyncio.to_thread(
            eventually,
            lambda: made.shown("/rollouts")["rollouts"] and made.shown("/rollouts")["rollouts"][0]["returned"],
            30,
        )
        client.cancel()
        server.close()
        return str(ended)

    assert "requests fail with it" in asyncio.run(story())
    assert "requests fail with it" in (made.source / "rollout-returned.yaml").read_text()


@pytest.mark.peer("chromium")
def test_the_page_shows_the_fleet(fleet: Made) -> None:
    made = fleet()
    assert asyncio.run(drive(made, 1)).lost == []
    page = f"http://127.0.0.1:{made.control_admin}/"
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000", "--dump-dom"]
    shown = subprocess.run(["chromium", *options, page], capture_output=True, text=True, timeout=60).stdout
    assert "envoy 1." in shown
    assert "in force" in shown
    assert "Nothing is wrong" in shown


def test_an_envoy_that_polls_over_rest_is_served_and_shown(fleet: Made) -> None:
    made = fleet(rest=True)
    outcome = asyncio.run(drive(made, 3))
    assert outcome.lost == []
    assert eventually(lambda: states(made) == {"envoy": "in force"}, 10)
