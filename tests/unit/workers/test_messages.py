"""What the supervisor and its workers say to each other: all of it arrives as it was."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metaproxy.app.texts import loader_of
from metaproxy.config import model
from metaproxy.config.check import check
from metaproxy.plugins import Registry
from metaproxy.workers import messages
from metaproxy.workers.messages import EndpointsAre, EndpointState, HandedConnection, Left, Line, Prepare, Ready

CONF = Path(__file__).parents[3] / "conf"
REGISTRY = Registry()


def configurations() -> dict[str, model.Config]:
    """Those of conf/ that can be used alone."""
    found = {}
    for file in sorted(CONF.glob("*.yaml")):
        config, _ = check(file.read_bytes(), str(file), REGISTRY, folder=CONF, loader=loader_of())
        if config is not None:
            found[file.name] = config
    return found


def arrived(message: object) -> Any:
    return pickle.loads(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))


CONFIGURATIONS = configurations()


def test_most_configurations_are_tried() -> None:
    assert len(CONFIGURATIONS) > 30


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_configuration_arrives_as_it_was(name: str) -> None:
    config = CONFIGURATIONS[name]
    sent = Prepare(
        replace(config, listeners=(), clusters=()), config.listeners, config.clusters,
        [one.name for one in config.listeners], [one.name for one in config.clusters],
        [Path("plugins")], {Path("key.pem"): (1, 2)},
    )  # fmt: skip
    found = arrived(sent)
    assert found == sent
    assert found is not sent


STATE = EndpointState("127.0.0.1:1", 2, {"zone": "b"}, 1, "b", True, False, True, False)


@pytest.mark.parametrize(
    "message",
    [
        HandedConnection("a", "h", "p"),
        EndpointsAre("c", True, [STATE]),
        Left({"a": 3}),
        Line("info", "x", "y"),
        Ready(7, "pure"),
    ],
)
def test_others_do_too(message: object) -> None:
    assert arrived(message) == message


def test_each_has_a_place_in_the_list() -> None:
    assert {name for name in dir(messages) if isinstance(getattr(messages, name), type)} >= set(messages.__all__)
