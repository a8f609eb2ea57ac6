"""Options are declared once, in the constructor's annotations; all else follows from that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import pytest

from metaproxy.config.check import check
from metaproxy.config.masking import as_data
from metaproxy.config.schema.plugin_options import built_in_plugins
from metaproxy.options import OptionError, convert, declared, hide, made
from metaproxy.plugins import Declaration, Registry
from metaproxy.units import Bytes, Option, OptionsOf, Percent, Seconds, Secret

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
BUILT_IN = list(built_in_plugins())
GIVEN = {"clock", "clusters", "node", "endpoints"}
"""Arguments of constructors that are no options."""


class Login:
    def __init__(
        self,
        user: Annotated[str, Option("Who.", least=1, most=8)],
        password: Annotated[Secret, Option("With what.", least=4)],
        hint: str = "",
    ) -> None:
        self.user, self.password, self.hint = user, password, hint


class Shape:
    def __init__(self, name: str, sides: Annotated[int, Option("How many.", least=3)]) -> None:
        self.name, self.sides = name, sides


class Gate:
    """A plugin with all kinds of annotations."""

    def __init__(
        self,
        limit: Annotated[float, Option("How much.", above=0)] = 1.0,
        depth: Annotated[int, Option("How deep.", least=1, most=5)] = 1,
        wait: Annotated[Seconds, Option("How long.", least="10ms", most="1m")] = Seconds(1.0),  # noqa: B008
        size: Annotated[Bytes | None, Option("How large.", most="1KiB")] = None,
        login: Annotated[Login | None, Option("As whom.")] = None,
        logins: dict[str, list[Login]] | None = None,
        names: Annotated[list[Annotated[str, Option("One.", most=3)]], Option("Some.", least=1, most=2)] = [],  # noqa: B006
        shapes: Annotated[list[Annotated[object, OptionsOf(Shape)]] | None, Option("Forms.")] = None,
        token: Secret | None = None,
        auth: Annotated[object, Option("Any form.", secret=True)] = None,
        users: Annotated[object, Option("Several.", secret=("password",))] = None,
        key: Annotated[str, Option("A key.", secret=True)] = "",
        headers: Annotated[dict[str, str] | None, Option("Headers.", secret=True)] = None,
        plain: int = 0,
        other: Annotated[int, "not ours"] = 0,
    ) -> None:
        self.given = locals()


def refused(**options: Any) -> OptionError:
    with pytest.raises(OptionError) as raised:
        convert(Gate, options, {})
    return raised.value


@pytest.mark.parametrize(
    ("options", "path", "text"),
    [
        ({"limit": 0}, (), "0 is too little; it must be greater than 0"),
        ({"limit": -1.5}, (), "-1.5 is too little; it must be greater than 0"),
        ({"depth": 0}, (), "0 is out of bounds; allowed are 1 to 5"),
        ({"depth": 6}, (), "6 is out of bounds; allowed are 1 to 5"),
        ({"wait": "1ms"}, (), "1ms is out of bounds; allowed are 10ms to 1m"),
        ({"wait": 61}, (), "61 is out of bounds; allowed are 10ms to 1m"),
        ({"size": "2KiB"}, (), "2KiB is more than 1KiB"),
        ({"names": []}, (), "an empty list; write at least 1"),
        ({"names": ["a", "b", "c"]}, (), "a list of 3 is out of bounds; allowed are 1 to 2"),
        ({"names": ["a", "long"]}, (1,), "a text of 4 characters is more than 3 characters"),
        ({"login": {"user": "", "password": "abcd"}}, ("user",), "an empty text; write at least 1 characters"),
        ({"login": {"usr": "x"}}, ("usr",), "no option 'usr'; did you mean 'user'?"),
        ({"login": {"user": "x"}}, (), "option 'password' is missing"),
        ({"login": []}, (), "[] is not a mapping"),
        ({"logins": {"a": [{"user": "too long for it", "password": "abcd"}]}}, ("a", 0, "user"), "out of bounds"),
        ({"other": "x"}, (), "'x' is not a whole number"),
        ({"plain": "x"}, (), "'x' is not a whole number"),
        ({"limt": 1}, (), "no option 'limt'"),
    ],
)
def test_what_an_option_does_not_allow_is_refused_with_its_place(
    options: dict[str, object], path: tuple[object, ...], text: str
) -> None:
    error = refused(**options)
    assert (error.option, error.path) == (next(iter(options)), path)
    assert text in str(error)


def test_what_is_within_the_bounds_is_converted() -> None:
    options = {
        "limit": 1, "depth": 5, "wait": "10ms", "size": "1KiB", "names": ["abc"], "plain": -1, "other": 2,
        "login": {"user": "ann", "password": "abcd"}, "logins": {"a": [{"user": "bob", "password": "abcd"}]},
    }  # fmt: skip
    found = convert(Gate, options, {})
    assert (found["limit"], found["depth"], found["wait"], found["size"]) == (1.0, 5, 0.01, 1024)
    assert isinstance(found["login"], Login) and found["login"].user == "ann"
    logins: Any = found["logins"]
    assert logins["a"][0].user == "bob"


def test_a_section_may_be_given_arguments_that_are_no_options() -> None:
    shape = made(Shape, {"sides": 3}, "shapes", 0, name="triangle")
    assert (shape.name, shape.sides) == ("triangle", 3)
    with pytest.raises(OptionError, match="2 is less than 3") as raised:
        made(Shape, {"sides": 2}, "shapes", 0, name="none")
    assert (raised.value.option, raised.value.path) == ("shapes", (0, "sides"))


@pytest.mark.parametrize(
    "options",
    [
        {"token": "hunter2"},
        {"auth": "hunter2"},
        {"auth": {"users": [{"ann": "hunter2"}]}},
        {"users": [{"name": "ann", "password": "hunter2"}]},
        {"users": {"a": {"password": ["hunter2"]}}},
        {"login": {"user": "ann", "password": "hunter2"}},
        {"logins": {"a": [{"user": "ann", "password": "hunter2"}]}},
    ],
)
def test_a_declared_secret_is_not_shown(options: dict[str, object]) -> None:
    hidden = hide(Gate, options)
    assert hidden == options
    assert "hunter2" not in repr(hidden) and "****" in json.dumps(as_data(hidden))
    assert "ann" in repr(hidden) or "ann" not in repr(options.get("users", ""))


@pytest.mark.parametrize("value", [12345678, ["hunter2"], True])
def test_a_secret_that_is_no_text_is_refused_without_being_shown(value: object) -> None:
    assert str(refused(token=value)) == "this is not a text; write it in quotes, or {secret: NAME}"


def test_an_option_that_may_hold_a_secret_is_not_shown_by_the_error_either() -> None:
    text = "this can't be read; it is not shown, as it may hold a secret"
    assert str(refused(key=12345678)) == str(refused(headers={"token": 12345678})) == text


def test_what_is_not_declared_is_left_as_it_is() -> None:
    assert hide(Gate, {"plain": "text", "unknown": "text"}) == {"plain": "text", "unknown": "text"}
    assert list(declared(Gate))[-4:] == ["auth", "users", "key", "headers"]


DROPIN = """
from typing import Annotated
from metaproxy.interfaces import IFilter, IOnRequest
from metaproxy.plugins import Declaration, Option, Secret
from metaproxy.units import Seconds
from zope.interface import implementer

@implementer(IOnRequest)
class Gate:
    def __init__(
        self,
        password: Secret,
        depth: Annotated[int, Option("How deep.", least=1, most=5)] = 1,
        key: Annotated[Secret, Option("A key.")] = Secret(),
    ):
        if depth == 4:
            raise ValueError(f"{depth} does not go with {password} and {key!r}")
    def on_request(self, exchange):
        return None

gate = Declaration(IFilter, "gate", Gate)
"""
CONFIG = """\
plugins: [{folder}]
listeners:
  - name: in
    listen: 127.0.0.1:0
    protocol: redis
    filters:
      - gate: {options}
    routes: [{{reply: {{error: not_found}}}}]
"""


def foreign(tmp_path: Path, options: str) -> tuple[Any, list[str]]:
    (tmp_path / "gate.py").write_text(DROPIN)
    config, problems = check(CONFIG.format(folder=tmp_path, options=options), "x.yaml", Registry([tmp_path]), {})
    return config, [str(problem) for problem in problems]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            "{password: hunter2, depth: 9}",
            "7:42: listeners[0].filters[0].gate.depth: gate: 9 is out of bounds; allowed",
        ),
        (
            "{password: hunter2, dept: 3}",
            "7:35: listeners[0].filters[0].gate.dept: gate: no option 'dept'; did you mean",
        ),
        ("{password: 12345678}", "7:26: listeners[0].filters[0].gate.password: gate: this is not a text"),
        ("{password: hunter2, depth: 4, key: hunter3}", "4 does not go with **** and '****'"),
    ],
)
def test_a_foreign_plugin_has_its_options_checked_and_its_secrets_masked(
    tmp_path: Path, options: str, problem: str
) -> None:
    _, problems = foreign(tmp_path, options)
    assert len(problems) == 1 and problem in problems[0]
    assert "hunter" not in problems[0] and "12345678" not in problems[0]


def test_the_secret_of_a_foreign_plugin_is_not_in_the_configuration_that_is_shown(tmp_path: Path) -> None:
    config, problems = foreign(tmp_path, "{password: hunter2, key: hunter3, depth: 2}")
    assert problems == []
    assert "hunter" not in json.dumps(as_data(config)) and "hunter" not in repr(config)
    assert config.listeners[0].filters[0].options == {"password": "hunter2", "key": "hunter3", "depth": 2}


def test_what_a_plugin_needs_may_be_imported_from_where_plugins_are_declared() -> None:
    from metaproxy import plugins

    assert (plugins.Option, plugins.Secret, plugins.OptionsOf) == (Option, Secret, OptionsOf)
    assert callable(Declaration) and callable(Percent)
