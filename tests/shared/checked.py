"""What a check says of a text."""

from __future__ import annotations

from pathlib import Path

from metaproxy.config.check import check
from metaproxy.config.model import Config
from metaproxy.plugins import Registry

REGISTRY = Registry([Path(__file__).parents[1] / "unit" / "config" / "dropins"])


def outcome(text: str, folder: Path = Path("/etc"), **environ: str) -> tuple[Config | None, list[str]]:
    config, problems = check(text, "x.yaml", REGISTRY, environ, folder)
    assert (config is None) == bool(problems)
    return config, [str(problem).removeprefix("x.yaml:") for problem in problems]


def accepted(text: str, folder: Path = Path("/etc"), **environ: str) -> Config:
    config, problems = outcome(text, folder, **environ)
    assert problems == []
    assert config is not None
    return config


def refused(text: str, folder: Path = Path("/etc"), **environ: str) -> list[str]:
    return outcome(text, folder, **environ)[1]


def warned(text: str) -> list[str]:
    return [str(warning).removeprefix("x.yaml:") for warning in accepted(text).warnings]


def mesh(routes: str = "[{cluster: demo}]", protocol: str = "dubbo", listener: str = "", cluster: str = "") -> str:
    """A listener in line 1 and a cluster in line 2."""
    return (
        f"listeners: [{{name: in, listen: 0.0.0.0:20880, protocol: {protocol}, routes: {routes}{listener}}}]\n"
        f"clusters: [{{name: demo, endpoints: [127.0.0.1:20881]{cluster}}}]\n"
    )
