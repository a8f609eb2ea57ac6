from __future__ import annotations

from pathlib import Path

from asking import Terminal


def test_a_right_file_is_told_and_a_wrong_one_with_its_lines(tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    file.write_text("listeners: []\n")
    terminal = Terminal()
    assert terminal.run("check", str(file)) == 0
    assert "nothing is wrong" in terminal.out
    assert terminal.run("check", str(file), "--json") == 0
    assert terminal.json["valid"] is True
    file.write_text("listener: []\n")
    assert terminal.run("check", str(file)) == 1
    assert f"metaproxy: {file}:1:1" in terminal.err
    assert terminal.run("check", str(file), "--json") == 1
    assert "did you mean" in terminal.json["errors"][0]
