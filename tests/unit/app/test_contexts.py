"""What the sections of a source are read with stays while nothing changes that they may depend on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from present import present
from stand import Stand

from metaproxy.app.application import LOOK_EVERY
from metaproxy.app.contexts import SPARE
from metaproxy.app.parts import Part
from metaproxy.config import model
from metaproxy.config.values import read_section


def test_it_stays_the_same_one_for_a_source_and_is_another_for_another(tmp_path: Path) -> None:
    stand = Stand(tmp_path, "{}")
    known = stand.configuration.reading("a")
    assert stand.configuration.contribute("b", Part()) == []
    assert stand.configuration.reading("a") is known
    assert stand.configuration.reading("b") is not known


def test_another_node_other_secrets_and_other_plugins_are_another_one(tmp_path: Path) -> None:
    secret, folder = tmp_path / "secret", tmp_path / "plugins"
    secret.write_text("a")
    folder.mkdir()
    text = f"secrets: {{word: {{file: {secret}}}}}\nplugins: [{folder}]\n"
    stand = Stand(tmp_path, text)
    stand.configuration.startService()
    seen = [stand.configuration.reading("a")]
    assert seen[0].secrets == {"word": "a"}
    secret.write_text("longer")
    stand.network.clock.advance(LOOK_EVERY)
    seen.append(stand.configuration.reading("a"))
    assert seen[1].secrets == {"word": "longer"}
    stand.write(text + "node: {id: me}\n")
    stand.network.clock.advance(LOOK_EVERY)
    seen.append(stand.configuration.reading("a"))
    assert present(seen[2].injected["node"]) == model.Node(id="me")
    example = Path(__file__).parents[3] / "docs" / "examples" / "quill.py"
    (folder / "quill.py").write_text(example.read_text())
    stand.network.clock.advance(LOOK_EVERY)
    seen.append(stand.configuration.reading("a"))
    assert len(set(map(id, seen))) == 4
    stand.configuration.stopService()


def test_a_secret_that_can_not_be_read_is_none(tmp_path: Path) -> None:
    stand = Stand(tmp_path, "secrets: {word: {env: METAPROXY_TEST_WORD}}\n")
    assert stand.errors
    os.environ["METAPROXY_TEST_WORD"] = "x"
    try:
        assert stand.configuration.reload() == []
    finally:
        del os.environ["METAPROXY_TEST_WORD"]
    assert stand.configuration.reading("a").secrets == {}


@pytest.mark.parametrize("name", ["a", "a server"])
def test_what_a_source_contributes_no_more_is_not_kept(tmp_path: Path, name: str) -> None:
    stand = Stand(tmp_path, "{}")
    known = stand.configuration.reading(name)
    names = [f"c{number}" for number in range(SPARE + 5)]
    found = [present(read_section(model.Cluster, {"name": name, "endpoints": []}, known)[0]) for name in names]
    assert len(known.memo) == len(names)
    assert stand.configuration.contribute("a", Part((), found[:1])) == []
    assert len(known.memo) == 1
