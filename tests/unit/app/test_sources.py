from __future__ import annotations

from pathlib import Path

from metaproxy.app.sources import Source, file_stamp, stamps_of, written_runtime
from metaproxy.config import model


def test_a_source_of_values_has_no_text() -> None:
    assert Source("xds").written == ""
    assert Source("file", "a: 1").written == Source("file", b"a: 1").written == "a: 1"


def test_live_values_are_those_that_are_written() -> None:
    assert written_runtime("runtime: {canary: 5, name: x}", "f") == {"canary": 5, "name": "x"}
    assert written_runtime("listeners: []", "f") == {}
    assert written_runtime("runtime: 5", "f") == {}


def test_a_stamp_differs_when_a_file_is_written_or_replaced(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    assert file_stamp(str(path)) is None
    path.write_text("a")
    before = file_stamp(str(path))
    path.write_text("ab")
    assert before != file_stamp(str(path)) is not None
    config = model.Config(secrets={"word": model.SecretSource(file=path)})
    assert stamps_of(config) == {path: file_stamp(str(path))}
