"""What a change of a folder costs: counted in files that are looked at and read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mesh_objects import written

from metaproxy.mesh.folder import ALL_EVERY, Folder
from metaproxy.mesh.generator.generator import Generator
from metaproxy.mesh.store import Store

X, Y = (written("ApplicationProtocol", name, f"{{protocol: {name}, codec: c}}") for name in "xy")


@pytest.fixture
def watched(tmp_path: Path) -> Folder:
    """A folder with many files, of whose changes the kernel tells."""
    for number in range(30):
        (tmp_path / f"f{number}.yaml").write_text(X.replace("name: x", f"name: f{number}"))
    folder = Folder(tmp_path, Store(Generator()))
    folder.look()
    folder.look()
    if folder.looked > 60:
        pytest.skip("the folder for tests is on a file system that others may write to")
    folder.looked = folder.read = 0
    return folder


def test_a_change_has_its_file_looked_at_and_read_and_no_other(watched: Folder) -> None:
    (watched.path / "f7.yaml").write_text(Y)
    assert watched.look()
    assert (watched.looked, watched.read) == (1, 1)
    new = watched.path / ".new"
    new.write_text(X)
    os.replace(new, watched.path / "f7.yaml")
    assert watched.look()
    assert (watched.looked, watched.read) == (2, 2)
    (watched.path / "f7.yaml").unlink()
    assert watched.look()
    assert (watched.looked, watched.read) == (2, 2)


def test_while_nothing_changes_no_file_is_looked_at_but_for_a_look_at_all_from_time_to_time(watched: Folder) -> None:
    for _ in range(ALL_EVERY - 1):
        assert not watched.look()
    assert (watched.looked, watched.read) == (0, 0)
    watched.look()
    watched.look()
    assert (watched.looked, watched.read) == (30, 0)


def test_a_file_that_is_a_link_is_looked_at_each_time(watched: Folder, tmp_path: Path) -> None:
    elsewhere = tmp_path / ".elsewhere"
    elsewhere.mkdir()
    (elsewhere / "x").write_text(X)
    (watched.path / "linked.yaml").symlink_to(elsewhere / "x")
    assert watched.look()
    assert not watched.look()
    (elsewhere / "x").write_text(Y)
    assert watched.look()


def test_a_folder_that_comes_is_read_and_watched(watched: Folder) -> None:
    within = watched.path / "within"
    within.mkdir()
    (within / "x.yaml").write_text(X)
    assert watched.look()
    watched.look()
    watched.looked = 0
    (within / "y.yaml").write_text(Y)
    assert watched.look()
    assert watched.looked == 1
