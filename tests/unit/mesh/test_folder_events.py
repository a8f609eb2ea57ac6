"""What the kernel says of folders."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from metaproxy.mesh import folder_events
from metaproxy.mesh.folder_events import FolderEvents

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="inotify is Linux's")


def watching(*folders: Path) -> FolderEvents:
    events = FolderEvents()
    assert events.watch([str(folder) for folder in folders])
    if events.take() is None:
        pytest.skip("the folder for tests is on a file system that others may write to")
    return events


@LINUX
def test_files_that_come_change_and_go_are_named(tmp_path: Path) -> None:
    (tmp_path / "within").mkdir()
    (tmp_path / "gone.yaml").write_text("x")
    (tmp_path / "replaced.yaml").write_text("x")
    events = watching(tmp_path, tmp_path / "within")
    assert events.take() == set()
    (tmp_path / "within" / "new.yaml").write_text("x")
    (tmp_path / "gone.yaml").unlink()
    (tmp_path / ".new").write_text("y")
    os.replace(tmp_path / ".new", tmp_path / "replaced.yaml")
    found = events.take()
    assert found == {str(tmp_path / name) for name in ("within/new.yaml", "gone.yaml", ".new", "replaced.yaml")}
    assert events.take() == set()


@LINUX
@pytest.mark.parametrize("what", ["made", "gone", "moved", "itself"])
def test_a_folder_that_comes_or_goes_makes_all_unknown(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "mesh"
    (folder / "within").mkdir(parents=True)
    events = watching(folder, folder / "within")
    if what == "made":
        (folder / "new").mkdir()
    elif what == "gone":
        (folder / "within").rmdir()
    elif what == "moved":
        (folder / "within").rename(folder / "other")
    else:
        folder.rename(tmp_path / "other")
    assert events.take() is None


@LINUX
def test_the_same_folders_are_not_watched_again(tmp_path: Path) -> None:
    events = watching(tmp_path)
    (tmp_path / "x.yaml").write_text("x")
    assert not events.watch([str(tmp_path)])
    assert events.take() == {str(tmp_path / "x.yaml")}


@LINUX
def test_more_events_than_the_kernel_keeps_make_all_unknown(tmp_path: Path) -> None:
    limit = Path("/proc/sys/fs/inotify/max_queued_events")
    most = int(limit.read_text()) if limit.exists() else 0
    if not 0 < most <= 50_000:
        pytest.skip("the kernel keeps too many events to fill its queue here")
    events = watching(tmp_path)
    files = [tmp_path / "a.yaml", tmp_path / "b.yaml"]
    for turn in range(most // 2 + 2):
        files[turn % 2].touch()  # as the last event is not repeated, in turns
        os.replace(files[turn % 2], tmp_path / "c.yaml")
    assert events.take() is None


def test_nothing_is_known_on_a_file_system_that_others_may_write_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_events, "LOCAL", frozenset())
    events = FolderEvents()
    assert events.watch([str(tmp_path)])
    assert events.take() is None
    assert events.watch([str(tmp_path)])


def test_nothing_is_known_where_there_is_no_inotify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    events = FolderEvents()
    assert events.watch([str(tmp_path)])
    assert events.take() is None


@LINUX
def test_what_it_watches_with_is_closed_with_it(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    events = watching(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before + 1
    del events
    assert len(os.listdir("/proc/self/fd")) == before
