"""A folder as the source of a control plane."""

from __future__ import annotations

from pathlib import Path

import pytest
from seen_texts import SeenTexts
from twisted.internet.task import Clock

from metaproxy.control.sources.folder import EVERY, LONGEST, Folder


class Stand:
    def __init__(self, path: Path) -> None:
        self.path, self.clock, self.seen = path, Clock(), SeenTexts()
        self.folder = Folder(path, self.clock, skipped=("control.yaml",))
        self.folder.start(self.seen)

    def looks(self, number: int) -> None:
        for _ in range(number):
            self.clock.advance(EVERY)


@pytest.fixture
def stand(tmp_path: Path) -> Stand:
    (tmp_path / "a.yaml").write_text("a")
    return Stand(tmp_path)


def test_all_texts_are_there_at_the_start(stand: Stand) -> None:
    assert stand.seen.updates == [{"a.yaml": b"a"}]


def test_an_empty_folder_says_so(tmp_path: Path) -> None:
    assert Stand(tmp_path).seen.updates == [{}]


def test_folders_within_are_read_and_what_is_hidden_or_no_document_is_not(tmp_path: Path) -> None:
    for name in ("x/y/b.yml", "c.json", "README.md", ".git/d.yaml", "..data/e.yaml", ".f.yaml", "control.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    assert Stand(tmp_path).seen.updates[0].keys() == {"x/y/b.yml", "c.json"}


def test_a_change_is_taken_when_a_look_finds_nothing_new(stand: Stand) -> None:
    (stand.path / "b.yaml").write_text("b")
    stand.looks(1)
    assert len(stand.seen.updates) == 1
    stand.looks(1)
    assert stand.seen.updates[1:] == [{"b.yaml": b"b"}]


def test_what_changes_all_the_time_is_taken_after_a_while(stand: Stand) -> None:
    for number in range(int(LONGEST / EVERY) + 2):
        (stand.path / f"{number}.yaml").write_text("x")
        stand.looks(1)
    assert len(stand.seen.updates) == 2


def test_a_file_that_is_written_again_as_it_was_changes_nothing(stand: Stand) -> None:
    (stand.path / "new").write_text("a")
    (stand.path / "new").replace(stand.path / "a.yaml")
    stand.looks(3)
    assert len(stand.seen.updates) == 1


def test_a_file_that_is_removed_is_gone(stand: Stand) -> None:
    (stand.path / "a.yaml").unlink()
    stand.looks(2)
    assert stand.seen.updates[1:] == [{"a.yaml": None}]


def test_a_folder_that_is_away_is_said_once_and_read_when_it_is_back(stand: Stand) -> None:
    away = stand.path.with_name("away")
    stand.path.rename(away)
    stand.looks(5)
    assert len(stand.seen.failures) == 1
    away.rename(stand.path)
    stand.looks(2)
    assert stand.seen.updates[1:] == [{}]


def test_a_link_that_leads_back_is_said_and_ends(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path)
    assert "loop" in Stand(tmp_path).seen.failures[0]


def test_what_is_written_is_read_back_and_can_be_removed(stand: Stand) -> None:
    stand.folder.write("b.yaml", b"b")
    stand.looks(2)
    assert stand.seen.updates[-1]["b.yaml"] == b"b"
    stand.folder.write("b.yaml", None)
    stand.looks(2)
    assert stand.seen.updates[-1] == {"b.yaml": None}


def test_what_can_not_be_written_fails(stand: Stand) -> None:
    failed: list[object] = []
    stand.folder.write("no/such/folder.yaml", b"b").addErrback(lambda failure: failed.append(failure.value))
    assert isinstance(failed[0], OSError)


def test_a_folder_that_is_stopped_looks_no_more(stand: Stand) -> None:
    stand.folder.stop()
    assert stand.clock.getDelayedCalls() == []
