"""
The reference pages of the contract, made from its source: `docs/generate.py` writes them.

Lives here: `interfaces()` and `messages()`, the texts of docs/reference/interfaces.md and messages.md. Does not: what
they say; that is in metaproxy.interfaces and metaproxy.message.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from types import ModuleType

from metaproxy import interfaces as contract
from metaproxy import message

_MADE = "<!-- made by docs/generate.py from {}: change it there -->"


def interfaces() -> str:
    """The page of what plugins keep and what they are handed."""
    intro = "What a plugin keeps, and what the proxy hands to it. The values that cross are in [Messages](messages.md)."
    return _page("Interfaces", contract, intro)


def messages() -> str:
    """The page of the values that plugins and the proxy hand to each other."""
    intro = "The values that codecs, filters and the proxy hand to each other; see [Interfaces](interfaces.md)."
    return _page("Messages", message, intro)


def _page(title: str, module: ModuleType, intro: str) -> str:
    tree = ast.parse(inspect.getsource(module))
    text = [f"# {title}", "", _MADE.format(module.__name__), "", intro, ""]
    about = (ast.get_docstring(tree) or "").split("\n\n")
    text += ["\n\n".join(part for part in about[2:]), ""] if len(about) > 2 else []
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            text += [f"## {node.name}", ""]
            text += _class(node)
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            text += [f"## {node.name}", "", f"`{_signature(node)}`", "", ast.get_docstring(node) or "", ""]
    return "\n".join(text).rstrip() + "\n"


def _class(node: ast.ClassDef) -> Iterator[str]:
    bases = [ast.unparse(base) for base in node.bases]
    named = [base for base in bases if base not in ("Interface", "Enum", "IntEnum")]
    if named:
        yield f"A `{', '.join(named)}`."
        yield ""
    yield ast.get_docstring(node) or ""
    yield ""
    rows = list(_members(node) if "Enum" in "".join(bases) else _attributes(node))
    if rows:
        yield "| name | |"
        yield "|---|---|"
        yield from rows
        yield ""
    for method in node.body:
        if isinstance(method, ast.FunctionDef) and not method.name.startswith("__"):
            yield f"**`{_signature(method)}`**"
            yield ""
            yield ast.get_docstring(method) or ""
            yield ""


def _members(node: ast.ClassDef) -> Iterator[str]:
    """A row for each member of an enumeration, with the text below it."""
    for at, statement in enumerate(node.body):
        if isinstance(statement, ast.Assign):
            below = node.body[at + 1] if at + 1 < len(node.body) else None
            about = ""
            if isinstance(below, ast.Expr):
                about = " ".join(str(ast.literal_eval(below.value)).split())
            value = ast.literal_eval(statement.value)
            name = f"`{ast.unparse(statement.targets[0])}`"
            yield _row(f"{name} (`{value}`)" if isinstance(value, str) else name, about)


def _attributes(node: ast.ClassDef) -> Iterator[str]:
    """A row for each attribute of an interface, with what it says of it."""
    for statement in node.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call):
            about = " ".join(str(ast.literal_eval(statement.value.args[0])).split())
            yield _row(f"`{ast.unparse(statement.targets[0])}`", about)


def _row(name: str, about: str) -> str:
    return f"| {name} | {about.replace('|', chr(92) + '|')} |"


def _signature(node: ast.FunctionDef) -> str:
    arguments = ast.unparse(node.args).removeprefix("self, ").removeprefix("self")
    returns = f" -> {ast.unparse(node.returns)}" if node.returns is not None else ""
    return f"{node.name}({arguments}){returns}"
