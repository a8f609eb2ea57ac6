"""Objects of Kubernetes need what reads them."""

from __future__ import annotations

import pytest
from checked import accepted, refused

from metaproxy.config.rules import crds


def test_without_the_packages_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    accepted("crds: {folder: mesh}")
    monkeypatch.setattr(crds, "find_spec", lambda name: None)
    (text,) = refused("crds: {folder: mesh}")
    assert "pip install '.[xds]'" in text


@pytest.mark.parametrize(
    ("written", "said"),
    [("{}", "one of folder is missing"), ("{folder: mesh, bind: localhost}", "'localhost' is not an IP address")],
)
def test_keys_are_checked(written: str, said: str) -> None:
    (text,) = refused(f"crds: {written}")
    assert said in text
