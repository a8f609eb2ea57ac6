"""Access logs: where they are written."""

from __future__ import annotations

from pathlib import Path

import pytest
from checked import mesh, refused


@pytest.mark.parametrize(
    ("log", "problem"),
    [
        ("{file: /dev/stdout}", None),
        ("{file: /dev/null, format: json}", None),
        ("{file: new.log, format: '%START_TIME%'}", None),
        ("{file: /nowhere/at/all.log}", "/nowhere/at/all.log: there is no such folder"),
        ("{file: /dev}", "/dev is a folder"),
        ("{file: /dev/null, format: jsn}", "'jsn' is no format; write text, json, or a line with operators such as "
         "%DURATION%"),
    ],
)  # fmt: skip
def test_an_access_log_must_be_writable_somewhere(log: str, problem: str | None, tmp_path: Path) -> None:
    problems = refused(mesh(listener=f", access_log: [{log}]"), tmp_path)
    assert [one.partition("access_log[0].")[2].partition(": ")[2] for one in problems] == ([problem] if problem else [])
