"""A folder of YAML, as the objects that stand in it now."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from mesh_objects import written

from metaproxy.mesh import folder_events
from metaproxy.mesh.folder import Folder
from metaproxy.mesh.generator.generator import Generator
from metaproxy.mesh.store import State, Store

X, Y = (written("ApplicationProtocol", name, f"{{protocol: {name}, codec: c}}") for name in "xy")


def made(path: Path) -> tuple[Folder, Store]:
    store = Store(Generator())
    return Folder(path, store), store


def names(store: Store) -> list[str]:
    return sorted(one.key.name for one in store.status() if one.key is not None)


@pytest.fixture(autouse=True, params=["told by the kernel", "looked for"])
def _how(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """All holds with and without word of the kernel."""
    if request.param == "looked for":
        monkeypatch.setattr(folder_events, "LOCAL", frozenset())
    yield


def test_all_files_of_objects_are_read_also_within_folders(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.yaml").write_text(X)
    (tmp_path / "y.yml").write_text(Y)
    (tmp_path / "README.md").write_text("# not: [one")
    (tmp_path / ".y.yaml.swp").write_text("half: [")
    (tmp_path / ".half.yaml").write_text("half: [")
    folder, store = made(tmp_path)
    assert folder.look()
    assert names(store) == ["x", "y"]
    assert all(one.state is State.ACCEPTED for one in store.status())


def test_what_has_not_changed_is_not_read_again(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(X)
    folder, _ = made(tmp_path)
    assert folder.look()
    assert not folder.look()


def test_files_that_come_change_and_go_are_seen(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(X)
    folder, store = made(tmp_path)
    folder.look()
    (tmp_path / "y.yaml").write_text(Y)
    assert folder.look()
    assert names(store) == ["x", "y"]
    new = tmp_path / ".new"
    new.write_text(Y.replace("name: y", "name: z"))
    os.replace(new, file)
    assert folder.look()
    assert names(store) == ["y", "z"]
    file.unlink()
    assert folder.look()
    assert names(store) == ["y"]


def test_a_link_to_a_folder_is_followed_and_one_in_a_circle_is_not(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.yaml").write_text(X)
    place = tmp_path / "mesh"
    place.mkdir()
    (place / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "loop").symlink_to(place)
    folder, store = made(place)
    folder.look()
    assert [(one.key is not None, one.state) for one in store.status()] == [(True, State.ACCEPTED)]


def test_while_the_folder_is_away_its_objects_stay_and_the_status_says_so(tmp_path: Path) -> None:
    place = tmp_path / "mesh"
    place.mkdir()
    (place / "x.yaml").write_text(X)
    folder, store = made(place)
    folder.look()
    place.rename(tmp_path / "away")
    assert folder.look()
    assert not folder.look()
    assert names(store) == ["x"]
    (wrong,) = (one for one in store.status() if one.state is not State.ACCEPTED)
    assert wrong.reasons == (f"{place}: No such file or directory",)
    (tmp_path / "away").rename(place)
    assert folder.look()
    assert [one.state for one in store.status()] == [State.ACCEPTED]


def test_a_file_that_can_not_be_read_is_reported_and_its_objects_stay(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(X)
    folder, store = made(tmp_path)
    folder.look()
    file.unlink()
    file.mkdir()
    (tmp_path / "x.yaml").rmdir()
    file.symlink_to(tmp_path)  # a folder where a file should be
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    folder.look()
    assert any(one.state is State.REFUSED for one in store.status())
