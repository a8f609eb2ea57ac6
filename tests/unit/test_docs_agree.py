"""What the pages say in tables and examples is what the code does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from metaproxy.codecs.mongodb import errors as mongodb
from metaproxy.codecs.mysql import errors as mysql
from metaproxy.codecs.postgres import errors as postgres
from metaproxy.config.check import check
from metaproxy.message import ErrorKind
from metaproxy.plugins import Registry

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
ERRORS = {
    "mongodb": {kind: f"{mongodb.CODES[name]} {name}" for kind, name in mongodb.NAMES.items()},
    "mysql": {kind: f"{number} {state}" for kind, (number, state) in mysql.NUMBERS.items()},
    "postgres": postgres.CODES,
}
"""What each codec answers for each kind."""


def rows(page: str) -> Iterator[tuple[list[str], str]]:
    """The words in the first column of each row of its section Errors, and the second column up to a semicolon."""
    section = page.partition("\n## Errors\n")[2].partition("\n## ")[0]
    for line in section.splitlines():
        if line.startswith("| ") and not line.startswith("|--"):
            first, second = line.strip("| ").split(" | ", 1)
            yield first.replace("`", "").split(", "), second.partition(";")[0].strip()


@pytest.mark.parametrize("name", ERRORS)
def test_the_errors_of_databases_are_those_of_the_page(name: str) -> None:
    page = (DOCS / "reference" / "codecs" / f"{name}.md").read_text()
    kinds = {kind.value for kind in ErrorKind}
    written = {word: code for words, code in rows(page) for word in words if word in kinds}
    assert written == {kind.value: code for kind, code in ERRORS[name].items()}


def test_each_kind_of_problem_has_its_row() -> None:
    source = (ROOT / "metaproxy" / "admin" / "problems.py").read_text()
    kinds = set(re.findall(r'_problem\(\w+, "(\w+)"', source))
    assert len(kinds) > 15
    page = (DOCS / "reference" / "admin.md").read_text()
    table = page.partition("| kind | level | |")[2].partition("\n\n")[0]
    assert kinds - set(re.findall(r"`(\w+)`", table)) == set()


CONTINUED = re.compile(r"protocol: quill|\brds:")
"""Examples with a plugin of the page, or with a server that an example before names."""


def whole_examples() -> Iterator[tuple[str, str]]:
    """Examples that have all that a configuration needs, each with its place."""
    for page in sorted((DOCS / "how-to").glob("*.md")):
        blocks: list[str] = re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
        for number, block in enumerate(blocks):
            if "listeners:\n" in block and "clusters:\n" in block and not CONTINUED.search(block):
                yield f"{page.name}, {number}", block


EXAMPLES = dict(whole_examples())


@pytest.mark.parametrize("place", EXAMPLES)
def test_a_whole_example_of_a_how_to_works_as_it_is(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the files of certificates, which who copies it has."""
    for variable in re.findall(r"\{env: (\w+)\}", EXAMPLES[place]):
        monkeypatch.setenv(variable, "x")
    problems = [str(problem) for problem in check(EXAMPLES[place], place, Registry())[1]]
    assert [problem for problem in problems if "No such file" not in problem] == []
