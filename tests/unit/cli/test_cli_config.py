from __future__ import annotations

from pathlib import Path

import pytest
from asking import Terminal


def test_it_tells_what_a_file_would_change(tmp_path: Path) -> None:
    file = tmp_path / "new.yaml"
    file.write_text("listeners: []\n")
    terminal = Terminal()
    assert terminal.run("config", "diff", str(file)) == 0
    assert terminal.out == "+ listener back\n"
    assert terminal.run("config", "diff", str(file), "--exit-code") == 1
    assert terminal.run("config", "diff", str(file), "--json") == 0
    assert terminal.json["difference"]["listeners"]["added"] == ["back"]


def test_a_wrong_file_has_its_errors_on_standard_error(tmp_path: Path) -> None:
    file = tmp_path / "new.yaml"
    file.write_text("wrong")
    terminal = Terminal()
    assert terminal.run("config", "diff", str(file)) == 1
    assert terminal.out == ""
    assert f"metaproxy: {file}:7:18: listeners[0].routes[1].cluster: no cluster 'dmeo'" in terminal.err
    assert "demo.yaml" not in terminal.err


def test_a_file_that_is_not_there_is_told() -> None:
    with pytest.raises(ValueError, match="No such file"):
        Terminal().run("config", "diff", "/nowhere.yaml")
