from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from metaproxy.config.check import check
from metaproxy.config.permissions import who_else_writes
from metaproxy.plugins import Registry


@pytest.fixture
def folder(tmp_path: Path) -> Any:
    made = tmp_path / "plugins"
    made.mkdir(mode=0o755)
    (made / "mine.py").write_text("")
    (made / "mine.py").chmod(0o644)
    return made


def test_what_only_its_owner_writes_is_fine(folder: Any) -> None:
    assert list(who_else_writes(folder)) == []


@pytest.mark.parametrize(("mode", "part"), [(0o777, "everybody"), (0o1777, "everybody"), (0o775, "group")])
def test_a_folder_that_others_may_write_is_told(folder: Any, mode: int, part: str) -> None:
    folder.chmod(mode)
    (text,) = who_else_writes(folder)
    assert str(folder) in text and part in text


@pytest.mark.parametrize(("mode", "part"), [(0o666, "everybody"), (0o664, "group")])
def test_a_file_that_others_may_write_is_told(folder: Any, mode: int, part: str) -> None:
    (folder / "mine.py").chmod(mode)
    (text,) = who_else_writes(folder)
    assert "mine.py" in text and part in text


def test_a_folder_of_another_user_is_told(folder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.getuid() == 0:
        os.chown(folder, 12345, 0)
        os.chown(folder / "mine.py", 12345, 0)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert len(list(who_else_writes(folder))) == 2


def test_a_folder_that_is_not_there_is_told_elsewhere(tmp_path: Path) -> None:
    assert list(who_else_writes(tmp_path / "none")) == []


@pytest.mark.parametrize("by", ["configuration", "command line"])
def test_the_check_warns_of_it(folder: Any, by: str) -> None:
    folder.chmod(0o777)
    (folder / "mine.py").unlink()
    text = f"plugins: {folder}\n" if by == "configuration" else "listeners: []\n"
    config, problems = check(text, "x.yaml", Registry([folder]))
    assert problems == []
    assert config is not None
    assert [warning.text for warning in config.warnings if "everybody" in warning.text]
