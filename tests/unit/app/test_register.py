"""Names and addresses in force: a change that can't clash is known not to, and costs what it touches."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from call_count import count_calls
from hypothesis import given, settings
from hypothesis import strategies as st
from present import present
from stand import Stand

from metaproxy.app.parts import Part, clashes, together
from metaproxy.app.register import Register
from metaproxy.config import model, references
from metaproxy.config.delta import changes
from metaproxy.config.schema.reading import Use
from metaproxy.config.values import read_section

NAMES = ["a", "b", "c", ""]
PORTS = ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:0", "unix:/x"]
FILES = ["/one", "/two", None]


def listener(name: str, listen: str, file: str | None = None) -> model.Listener:
    tls = model.ServerTls(certificate=Path(file), key=Path(file)) if file is not None else None
    return model.Listener(name=name, listen=(listen,), protocol=Use("dubbo"), tls=tls)


LISTENERS = [listener(name, port, file) for name, port, file in product(NAMES, PORTS, FILES)]
CLUSTERS = [model.Cluster(name=name) for name in NAMES]
listeners = st.lists(st.sampled_from(LISTENERS).map(copy), max_size=4)
clusters = st.lists(st.sampled_from(CLUSTERS).map(copy), max_size=4)
parts = st.builds(lambda one, two: Part(tuple(one), tuple(two)), listeners, clusters)


def is_wrong(base: model.Config, part: Part) -> bool:
    every = [*part.listeners, *part.clusters]
    each = [{one.name for one in items} for items in (part.listeners, part.clusters)]
    twice = len(each[0]) + len(each[1]) < len(every)
    return twice or "" in each[0] | each[1] or bool(clashes(base, {"mesh": part}))


@settings(max_examples=300, deadline=None)
@given(st.lists(parts, min_size=1, max_size=6))
def test_whatever_changes_what_clashes_may_clash_and_files_are_those_of_all_sections(steps: list[Part]) -> None:
    base = model.Config(source="file")
    register, now = Register(), base
    for part in steps:
        whole = together(base, {"mesh": part})
        changed = changes(now, whole)
        if is_wrong(base, part):
            assert register.may_clash(now, whole, changed)
            continue
        assert not register.may_clash(now, whole, changed)
        assert register.stamps_of(whole, changed, {}).keys() == references.files_of(whole)
        known = register.known_clusters(changed)
        assert set(known) == {one.name for one in whole.clusters}
        assert all((name in known) == (name in set(known)) for name in ("a", "b", "c"))
        register.commit(changed)
        now = whole


class Mesh:
    """A source whose sections are in force."""

    def __init__(self, folder: Path, size: int) -> None:
        folder.mkdir()
        self.stand = Stand(folder, 'listeners: [{name: front, listen: "127.0.0.1:7000", protocol: thrift}]\n')
        self.listeners = {f"s{number}": self.listener(f"s{number}", number) for number in range(size)}
        self.clusters = {f"s{number}": self.cluster(f"s{number}") for number in range(size)}
        self.contribute()

    def read(self, kind: Any, data: Mapping[str, object]) -> Any:
        section, problems = read_section(kind, data, self.stand.configuration.reading("mesh"))
        assert problems == []
        return present(section)

    def listener(self, name: str, port: int, to: str = "") -> model.Listener:
        listen, routes = f"127.0.0.1:{10000 + port}", [{"name": "r", "cluster": to or name}]
        made: model.Listener = self.read(
            model.Listener, {"name": name, "listen": listen, "protocol": "thrift", "routes": routes}
        )
        return made

    def cluster(self, name: str, timeout: str = "1s") -> model.Cluster:
        data = {"name": name, "endpoints": ["127.0.0.1:1"], "connect_timeout": timeout}
        made: model.Cluster = self.read(model.Cluster, data)
        return made

    def contribute(self) -> None:
        part = Part(tuple(self.listeners.values()), tuple(self.clusters.values()))
        assert self.stand.configuration.contribute("mesh", part) == []


def work_of_changes(folder: Path, size: int) -> dict[str, int]:
    """Return how many functions each kind of change calls."""
    mesh, found = Mesh(folder, size), {}
    mesh.listeners["s3"] = mesh.listener("s3", 3, "s4")
    found["routes"] = count_calls(mesh.contribute)
    mesh.listeners["s3"] = mesh.listener("s3", 9999, "s4")
    found["address"] = count_calls(mesh.contribute)
    mesh.clusters["s4"] = mesh.cluster("s4", "7s")
    found["cluster"] = count_calls(mesh.contribute)
    mesh.clusters["new"] = mesh.cluster("new")
    found["new cluster"] = count_calls(mesh.contribute)
    del mesh.clusters["s3"]
    found["cluster gone"] = count_calls(mesh.contribute)
    return found


def test_a_contribution_costs_what_it_changes_and_not_what_there_is(tmp_path: Path) -> None:
    work_of_changes(tmp_path / "first", 30)  # what is imported and compiled at first
    few = {what: pytest.approx(calls, abs=20) for what, calls in work_of_changes(tmp_path / "small", 30).items()}
    assert work_of_changes(tmp_path / "large", 200) == few
