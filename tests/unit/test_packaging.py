"""What is installed, and from which file each fact about it comes."""

from __future__ import annotations

import configparser
import re
import tomllib
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import metaproxy

ROOT = Path(__file__).parents[2]


def setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def requirements() -> list[Requirement]:
    parser = setup()
    lists = [parser["options"]["install_requires"], *dict(parser["options.extras_require"]).values()]
    lines = (line.partition("#")[0].strip() for text in lists for line in text.splitlines())
    return [Requirement(line) for line in lines if line]


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    found = dict(line.split("==") for line in lines if not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in found.items()}


def test_every_requirement_has_a_pinned_version_that_it_allows() -> None:
    pinned = pins()
    for requirement in requirements():
        version = pinned.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is not in constraints.txt: run make lock"
        assert requirement.specifier.contains(version, prereleases=True), f"{requirement}: run make lock"


def test_the_tools_that_install_are_pinned_too() -> None:
    assert pins().keys() >= {"pip", "setuptools", "wheel"}


def test_each_package_is_pinned_once() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    names = [canonicalize_name(line.partition("==")[0]) for line in lines]
    assert len(names) == len(set(names))


def test_the_version_has_one_source() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+)?", metaproxy.__version__)
    assert setup()["metadata"]["version"] == "attr: metaproxy.__version__"


def test_no_fact_of_the_package_stands_in_both_files() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    parser = setup()
    assert set(parser["metadata"]) == {"version"}
    assert set(project["dynamic"]) == {"version", "dependencies", "optional-dependencies", "scripts"}
    assert not set(project) & set(project["dynamic"])
    assert "python_requires" not in parser["options"]


def test_the_public_workflow_runs_what_ci_runs_with_a_python_that_is_supported() -> None:
    job = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]["ci"]
    assert "bash .ci/run" in [step.get("run") for step in job["steps"]]
    python = job["container"]["image"].partition(":")[2].partition("-")[0]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"Programming Language :: Python :: {python}" in project["classifiers"]


def wheels() -> dict[str, Any]:
    jobs: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "wheels.yml").read_text())["jobs"]
    return jobs


def test_each_wheel_and_the_source_are_tried_by_a_script_that_there_is() -> None:
    commands = "\n".join(step.get("run", "") for job in wheels().values() for step in job["steps"])
    compiled = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["cibuildwheel"]["test-command"]
    tried = re.findall(r"python (?:\{project\}/)?(tools/\S+) (\w+)", f"{compiled}\n{commands}")
    assert tried == [("tools/try_installed.py", path) for path in ("compiled", "pure", "compiled")]
    assert (ROOT / "tools" / "try_installed.py").is_file()


def test_wheels_are_built_when_what_they_are_built_by_changes() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "wheels.yml").read_text())
    paths = workflow[True]["pull_request"]["paths"]  # YAML 1.1 reads the key `on` as true
    assert {"setup.py", "pyproject.toml", "tools/try_installed.py"} <= set(paths)
    for path in paths:
        assert (ROOT / path).is_file(), path


def test_there_are_compiled_wheels_for_each_architecture_that_the_release_names() -> None:
    built = [each["arch"] for each in wheels()["compiled"]["strategy"]["matrix"]["include"]]
    page = (ROOT / "docs" / "project" / "release.md").read_text()
    assert built == ["x86_64", "aarch64"]
    assert all(f"`{arch}`" in page for arch in built)
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["cibuildwheel"]
    assert all(settings[f"manylinux-{arch}-image"] == "manylinux_2_28" for arch in built)


def test_a_page_is_in_a_folder_that_the_site_takes() -> None:
    docs = ROOT / "docs"
    taken = re.findall(r"^(\S+/\*|\w+)$", (docs / "index.md").read_text(), re.MULTILINE)
    pages = {page for pattern in taken for page in docs.glob(f"{pattern}.md")} | {docs / "index.md"}
    assert set(docs.rglob("*.md")) == pages
