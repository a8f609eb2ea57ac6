from __future__ import annotations

from pathlib import Path

import pytest

from metaproxy.app.start import check_file
from metaproxy.config.check import ConfigErrors

TEXT = """
listeners: [{name: front, listen: "127.0.0.1:7000", protocol: thrift, routes: [{cluster: one}]}]
clusters: [{name: one, endpoints: ["127.0.0.1:1"]}, {name: two, endpoints: ["127.0.0.1:1"]}]
"""


def test_a_report_says_what_is_wrong_or_that_nothing_is(tmp_path: Path) -> None:
    file = tmp_path / "proxy.yaml"
    file.write_text(TEXT)
    assert "1 listener, 2 clusters; nothing is wrong" in check_file(str(file), [])
    file.write_text("listeners: [{nam: x}]")
    with pytest.raises(ConfigErrors, match="did you mean 'name'"):
        check_file(str(file), [])
    with pytest.raises(ConfigErrors, match="No such file"):
        check_file(str(tmp_path / "missing.yaml"), [])
    (tmp_path / "bad.py").write_text("1 / 0")
    file.write_text(TEXT)
    with pytest.raises(ConfigErrors, match="ZeroDivisionError"):
        check_file(str(file), [str(tmp_path)])
