"""What the reference and editors know of plugins' options is made of their constructors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import pytest

from metaproxy.config.schema.plugin_options import built_in_plugins, options_schema, rows
from metaproxy.config.schema.reading import Schema
from metaproxy.options import declared, parameters
from metaproxy.units import Bytes, Option, OptionsOf, Seconds, Secret

REFERENCE = Path(__file__).parents[4] / "docs" / "reference"
BUILT_IN = list(built_in_plugins())
GIVEN = {"clock", "clusters", "node", "endpoints", "xds"}
"""Arguments of constructors that are no options."""
SECOND, KIB = Seconds(1.0), Bytes(1024)


class Login:
    def __init__(self, user: Annotated[str, Option("Who.", least=1, most=8)], password: Secret) -> None:
        raise AssertionError("only looked at")


class Gate:
    def __init__(
        self,
        need: Annotated[int, Option("Needed.", least=1)],
        limit: Annotated[float, Option("How much.", above=0)] = 1.0,
        wait: Annotated[Seconds, Option("How long.", least="10ms", most="1m")] = SECOND,
        size: Annotated[Bytes, Option("How large.")] = KIB,
        logins: Annotated[dict[str, list[Login]] | None, Option("Several.")] = None,
        form: Annotated[object, OptionsOf(Login), Option("One.")] = None,
        names: Annotated[list[str] | None, Option("Some.", least=1, most=2)] = None,
        token: Secret | None = None,
        plain: int = 0,
    ) -> None:
        raise AssertionError("only looked at")


@pytest.mark.parametrize(("kind", "name", "target"), BUILT_IN, ids=[f"{kind}-{name}" for kind, name, _ in BUILT_IN])
def test_every_option_of_a_built_in_plugin_has_a_text_and_is_in_the_reference_and_the_schema(
    kind: str, name: str, target: Any
) -> None:
    assert parameters(target).keys() - declared(target).keys() <= GIVEN
    table = list(rows(target))
    assert all(row.about and row.words for row in table)
    if not table:
        return
    pages = "\n".join(path.read_text() for path in REFERENCE.rglob("*.md"))
    lines = "\n".join(f"| `{row.name}` | {row.words} | {row.default} | {row.about} |" for row in table)
    assert f"<!-- plugin: {kind} {name} -->\n| option | value | default | |\n|---|---|---|---|\n{lines}\n" in pages
    schema = json.loads((REFERENCE / "config.schema.json").read_text())
    found = json.dumps(schema["$defs"].get(f"{kind}.{name}", schema))
    assert all(json.dumps(row.about) in found for row in table)


def test_a_row_shows_what_a_configuration_would_have() -> None:
    found = {row.name: (row.words, row.default) for row in rows(Gate)}
    assert found == {
        "need": ("a whole number, 1 or more", "required"),
        "limit": ("a number, above 0", "`1`"),
        "wait": ("a duration, 10ms to 1m", "`1s`"),
        "size": ("a size", "`1KiB`"),
        "logins": ("`{NAME: ...}`; each a list; each a mapping", "none"),
        "logins.NAME[].user": ("a text, 8 characters at most", "required"),
        "logins.NAME[].password": ("a text, or `{secret: NAME}`", "required"),
        "form": ("a mapping", "none"),
        "form.user": ("a text, 8 characters at most", "required"),
        "form.password": ("a text, or `{secret: NAME}`", "required"),
        "names": ("a list; each a text, 2 entries at most", "none"),
        "token": ("a text, or `{secret: NAME}`", "none"),
    }


def test_the_schema_has_types_bounds_and_what_is_required() -> None:
    schema: Any = options_schema(Gate, {}, {})
    assert schema["required"] == ["need"] and schema["additionalProperties"] is False
    known = schema["properties"]
    assert known["need"]["anyOf"][0] == {"type": "integer", "minimum": 1}
    assert known["limit"]["anyOf"][0] == {"type": "number", "exclusiveMinimum": 0}
    assert (known["names"]["minItems"], known["names"]["maxItems"]) == (1, 2)
    assert known["form"]["required"] == ["user", "password"]
    assert known["wait"] == {"$ref": "#/$defs/duration", "description": "How long."}
    beside: Schema = {"name": {"const": "gate"}}
    assert options_schema(Gate, {}, beside)["required"] == ["name", "need"]
