"""The named arguments of a call, out of path, query and body."""

from __future__ import annotations

import json
from typing import Any

import pytest
from transcoding import asked

from metaproxy.filters.transcode.answers import Refused
from metaproxy.filters.transcode.arguments import Text, arguments_of, check_names, listed, match_of
from metaproxy.options import OptionError

NAMES = ("user", "page", "tags")


def found(query: str = "", given: Any = None, body: str = "", **path: str) -> dict[str, object]:
    data = b"" if given is None else given if isinstance(given, bytes) else json.dumps(given).encode()
    values = {name.replace("__", "."): value for name, value in path.items()}
    return arguments_of(asked("POST", f"/?{query}" if query else "/", data), values, NAMES, body)


def test_path_and_query_give_texts_of_no_type_yet() -> None:
    arguments = found("page=2&user.name=Ann", user__id="7")
    assert arguments == {"page": "2", "user": {"name": "Ann", "id": "7"}}
    assert type(arguments["page"]) is Text


def test_a_parameter_that_is_there_again_makes_a_list() -> None:
    assert found("tags=a&tags=b&tags=c") == {"tags": ["a", "b", "c"]}


def test_a_body_is_an_argument_or_an_object_of_them() -> None:
    assert found("page=1", {"name": "x"}, "user") == {"user": {"name": "x"}, "page": "1"}
    assert found("", {"page": 1, "tags": []}, "*") == {"page": 1, "tags": []}
    assert found("", None, "*") == {}


def test_the_path_goes_before_the_body() -> None:
    assert found("", {"id": 1, "name": "x"}, "user", user__id="7") == {"user": {"id": "7", "name": "x"}}


@pytest.mark.parametrize(
    "query, given, body, text",
    [
        ("colour=red", None, "", "no argument 'colour'; there are user, page, tags"),
        ("page=1", {}, "*", "in the query"),
        ("", {}, "", "no body"),
        ("", [1], "*", "no object of arguments"),
        ("", b"{", "user", "Expecting"),
        ("user.name=x", "text", "user", "has a value as well"),
        ("user.name=x", {"name": "y"}, "user", "has a value in the body"),
        ("page=%ff", None, "", "UTF-8"),
    ],
)
def test_what_is_no_argument_is_refused(query: str, given: Any, body: str, text: str) -> None:
    with pytest.raises(Refused, match=text) as caught:
        found(query, given, body)
    assert caught.value.status == 400


def test_calls_are_listed_by_method_and_template() -> None:
    paths = listed({"GET /a/{x}": 1, "PUT  /a/{x}": 2})
    match = match_of(paths, "PUT", "/a/b")
    assert match is not None and (match.found, match.values) == (2, {"x": "b"})
    assert match_of(paths, "GET", "/b") is None
    for method, path, status in (("POST", "/a/b", 405), ("GET", "/a/%ff", 400)):
        with pytest.raises(Refused) as caught:
            match_of(paths, method, path)
        assert caught.value.status == status


@pytest.mark.parametrize("key", ["/a", "get /a", "GET a", "GET", "GET /{"])
def test_what_is_no_method_and_template_is_refused_in_its_place(key: str) -> None:
    with pytest.raises(OptionError) as caught:
        listed({key: 1})
    assert (caught.value.option, caught.value.path) == ("calls", (key,))


def test_body_and_variables_name_arguments() -> None:
    check_names("GET /{user.id}/{page}", NAMES, "*")
    with pytest.raises(ValueError, match=r"body is 'users', which is no argument; there are user, page, tags"):
        check_names("GET /", NAMES, "users")
    with pytest.raises(ValueError, match=r"'id' is no argument; there are none"):
        check_names("GET /{id}", (), "")
