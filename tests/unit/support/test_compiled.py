"""Which of the two paths runs, and that what is declared for the compiled one is what the Python has."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES, SourceFileLoader
from pathlib import Path

import pytest

from metaproxy.support import compiled

ROOT = Path(__file__).parents[3]
DECLARED = sorted(path.relative_to(ROOT) for path in (ROOT / "metaproxy").rglob("*.pxd"))
ATTRIBUTE = re.compile(r"^    cdef (?:public )?[\w ]+ (\w+)$")


def test_python_is_found_beside_what_is_compiled(tmp_path: Path) -> None:
    (tmp_path / "thing.py").write_text("")
    (tmp_path / f"thing{EXTENSION_SUFFIXES[0]}").write_bytes(b"no library")
    spec = compiled.PureFinder().find_spec("metaproxy.thing", [str(tmp_path)])
    assert spec is not None
    assert isinstance(spec.loader, SourceFileLoader)


@pytest.mark.parametrize(("name", "path"), [("json.decoder", ["/"]), ("metaproxy", None), ("metaproxy.gone", ["/"])])
def test_other_packages_and_what_is_not_there_are_left_to_others(name: str, path: list[str] | None) -> None:
    assert compiled.PureFinder().find_spec(name, path) is None


@pytest.mark.parametrize("value", ["1", "yes"])
def test_a_process_that_is_to_be_pure_is(value: str) -> None:
    program = (
        "from metaproxy.support.compiled import running; import metaproxy.message as m; print(running(), m.__file__)"
    )
    environment = {"METAPROXY_PURE": value, "PYTHONPATH": str(ROOT)}
    said = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.split()[0] == "pure"
    assert said.stdout.strip().endswith("message.py")


def classes(path: Path) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)}


def slots(node: ast.ClassDef) -> set[str] | None:
    for statement in node.body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__slots__":
            names = ast.literal_eval(statement.value)
            return set(names) if isinstance(names, tuple) else {names}
    return None


def written(node: ast.ClassDef) -> set[str]:
    """The attributes that a class without __slots__ sets on itself in __init__."""
    made = next(one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__")
    targets = [one for one in ast.walk(made) if isinstance(one, ast.Attribute) and isinstance(one.ctx, ast.Store)]
    return {one.attr for one in targets if ast.unparse(one.value) == "self"}


def declared(path: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    name = ""
    for line in path.read_text().splitlines():
        if match := re.match(r"cdef class (\w+)", line):
            name = match[1]
            found[name] = set()
        elif match := ATTRIBUTE.match(line):
            found[name].add(match[1])
    return found


@pytest.mark.parametrize("path", DECLARED, ids=str)
def test_a_declaration_names_the_attributes_that_the_class_has(path: Path) -> None:
    known = classes(ROOT / path.with_suffix(".py"))
    for name, attributes in declared(ROOT / path).items():
        own = slots(known[name])
        expected = own if own is not None else written(known[name])
        assert attributes - {"__weakref__"} == expected - {"__weakref__"}, name


@pytest.mark.parametrize("path", DECLARED, ids=str)
def test_a_declared_function_is_one_of_the_module_or_its_classes(path: Path) -> None:
    text = (ROOT / path).read_text()
    module = ast.parse((ROOT / path.with_suffix(".py")).read_text())
    bodies = [module.body, *(node.body for node in classes(ROOT / path.with_suffix(".py")).values())]
    methods = {one.name for body in bodies for one in body if isinstance(one, ast.FunctionDef)}
    assert set(re.findall(r"cpdef (?:bint )?(\w+)\(", text)) <= methods
