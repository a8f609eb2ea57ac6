"""Objects of Kubernetes need what reads them."""

from __future__ import annotations

from pathlib import Path

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
    [
        ("{}", "one of folder, kubernetes is missing"),
        ("{folder: mesh, bind: localhost}", "'localhost' is not an IP address"),
        ("{kubernetes: {context: x}}", "is one of a kubeconfig"),
        ("{kubernetes: {kubeconfg: x}}", "did you mean 'kubeconfig'?"),
    ],
)
def test_keys_are_checked(written: str, said: str) -> None:
    (text,) = refused(f"crds: {written}")
    assert said in text


def test_a_kubeconfig_that_is_wrong_is_refused_and_one_that_is_not_there_yet_is_not(tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    accepted(f"crds: {{kubernetes: {{kubeconfig: {file}}}}}")
    accepted("crds: {kubernetes: {}}")
    file.write_text("{}")
    (text,) = refused(f"crds: {{kubernetes: {{kubeconfig: {file}}}}}")
    assert "no current-context" in text
