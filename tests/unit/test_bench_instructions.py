"""`python -m bench.instructions`: what it keeps, what it reports, its options. Counting needs valgrind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.instructions import (
    KEPT,
    Figures,
    changes,
    line,
    measure,
    read_kept,
    read_options,
    switch_library,
    verdict,
    write_kept,
)
from bench.replay import ROWS

OLD = Figures("CPython 3.11.7", "cc 12", {"dubbo 64x1": 100_000, "redis 64x1": 50_000})


def new(dubbo: int, redis: int = 50_000, python: str = OLD.python) -> Figures:
    return Figures(python, OLD.compiler, {"dubbo 64x1": dubbo, "redis 64x1": redis})


def test_a_change_over_three_percent_is_reported_up_and_down() -> None:
    assert changes(OLD, new(102_900, 48_600)) == {}
    assert changes(OLD, new(104_000, 48_000)) == pytest.approx({"dubbo 64x1": 0.04, "redis 64x1": -0.04})
    said, well = verdict(OLD, new(104_000), "pure")
    assert said == "pure: changed by more than 3%: dubbo 64x1 +4.0%. When that is meant: --write."
    assert not well
    assert verdict(OLD, new(102_000), "pure") == ("pure: no row changed by more than 3%.", True)


def test_figures_of_another_interpreter_are_not_compared() -> None:
    said, well = verdict(OLD, new(150_000, python="CPython 3.12.1"), "compiled")
    assert said.startswith("compiled: figures of two builds say nothing of metaproxy: kept with CPython 3.11.7")
    assert well


def test_without_kept_figures_nothing_is_compared() -> None:
    assert verdict(None, new(1), "pure") == ("pure: nothing is kept to compare with; --write keeps these.", True)


def test_a_line_says_what_was_and_what_is() -> None:
    assert line("dubbo 64x1", "pure", 110_000, OLD) == "| dubbo 64x1 | pure | 100,000 | 110,000 | +10.0% ! |"
    assert line("dubbo 64x1", "pure", 99_000, OLD) == "| dubbo 64x1 | pure | 100,000 | 99,000 | -1.0% |"
    assert line("http1 64x1", "pure", 7, OLD) == "| http1 64x1 | pure | - | 7 | new |"


def test_rows_are_printed_as_they_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    figures = measure("pure", ["dubbo 64x1"], lambda row: 90_000, OLD)
    assert figures.rows == {"dubbo 64x1": 90_000}
    assert capsys.readouterr().out == "| dubbo 64x1 | pure | 100,000 | 90,000 | -10.0% ! |\n"


def test_what_is_written_keeps_the_rows_that_were_not_measured(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    write_kept(path, {"pure": OLD})
    write_kept(path, {"pure": Figures(OLD.python, OLD.compiler, {"redis 64x1": 7})})
    assert read_kept(path) == {"pure": Figures(OLD.python, OLD.compiler, {"dubbo 64x1": 100_000, "redis 64x1": 7})}
    write_kept(path, {"pure": Figures("CPython 3.12.1", OLD.compiler, {"redis 64x1": 8})})
    assert read_kept(path)["pure"].rows == {"redis 64x1": 8}, "figures of two builds are not mixed"


@pytest.mark.parametrize("text", ["{", "[]", '{"pure": {"rows": {}}}', '{"pure": 1}'])
def test_a_file_that_holds_something_else_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "kept.json"
    path.write_text(text)
    with pytest.raises(SystemExit, match=r"kept\.json holds no figures .* python -m bench\.instructions --write"):
        read_kept(path)


def test_the_kept_file_is_of_rows_that_there_are() -> None:
    for name, figures in read_kept(KEPT).items():
        assert name in ("pure", "compiled")
        assert set(figures.rows) <= set(ROWS)
        assert all(count > 1000 for count in figures.rows.values())
    assert KEPT.read_text() == json.dumps(json.loads(KEPT.read_text()), indent=1) + "\n"


def test_options_pick_rows_and_paths() -> None:
    assert read_options([]).rows == list(ROWS)
    assert read_options([]).paths == ["pure", "compiled"]
    assert read_options(["redis 64x16", "http1", "--paths", "pure"]).rows == ["redis 64x16", "http1 64x1"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["smtp"], "no row begins with 'smtp'; there are dubbo 64x1, "),
        (["--paths", "fast"], "no path fast; there are pure and compiled"),
    ],
)
def test_a_wrong_option_says_what_there_is(words: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_options(words)
    assert why in capsys.readouterr().err


def test_without_valgrind_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit, match=r"needs valgrind .* apt-get install .* valgrind gcc"):
        switch_library(tmp_path)
