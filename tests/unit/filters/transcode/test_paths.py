"""Templates of paths, and which of them a path matches."""

from __future__ import annotations

import pytest

from metaproxy.filters.transcode.paths import Paths, Template, WrongMethod


def found(path: str, *templates: str, method: str = "GET") -> tuple[str, dict[str, str]] | None:
    paths: Paths[str] = Paths()
    for each in templates:
        paths.add("GET", Template(each), each)
    match = paths.find(method, path)
    return None if match is None else (match.found, match.values)


@pytest.mark.parametrize(
    "template, path, values",
    [
        ("/v1/books", "/v1/books", {}),
        ("/v1/{name}", "/v1/a", {"name": "a"}),
        ("/v1/{name=books/*}", "/v1/books/a", {"name": "books/a"}),
        ("/v1/{a}/x/{b.c}", "/v1/1/x/2", {"a": "1", "b.c": "2"}),
        ("/v1/*/x", "/v1/any/x", {}),
        ("/v1/**", "/v1/a/b/c", {}),
        ("/v1/{rest=**}", "/v1/a/b/c", {"rest": "a/b/c"}),
        ("/v1/{rest=**}", "/v1", {"rest": ""}),
        ("/v1/{name=a/**}", "/v1/a/b", {"name": "a/b"}),
        ("/v1/{name}:move", "/v1/x:move", {"name": "x"}),
        ("/v1/{name=**}:move", "/v1/x/y:move", {"name": "x/y"}),
        ("/v1/{name}", "/v1/x%2Fy%20z", {"name": "x/y z"}),
        ("/v1/{name=a/*}", "/v1/a/x%2Fy%20z", {"name": "a/x%2Fy z"}),
        ("/v1/{name}", "/v1/x:other", {"name": "x:other"}),
    ],
)
def test_a_template_gives_the_values_of_its_variables(template: str, path: str, values: dict[str, str]) -> None:
    assert found(path, template) == (template, values)


@pytest.mark.parametrize(
    "template, path",
    [
        ("/v1/books", "/v1/books/"), ("/v1/books", "/v1"), ("/v1/{name}", "/v1/"), ("/v1/{name}", "/v1/a/b"),
        ("/v1/{name}:move", "/v1/x"), ("/v1/books", "/v1/%62ooks"), ("/v1/a/**", "/v1/b"), ("/v1/books", "*"),
    ],
)  # fmt: skip
def test_other_paths_match_nothing(template: str, path: str) -> None:
    assert found(path, template) is None


def test_a_literal_goes_before_one_segment_and_that_before_the_rest() -> None:
    templates = "/v1/**", "/v1/{name}", "/v1/books", "/v1/books/{x}/y"
    assert [found(path, *templates) for path in ("/v1/books", "/v1/a", "/v1/books/1", "/v1/books/1/y")] == [
        ("/v1/books", {}), ("/v1/{name}", {"name": "a"}), ("/v1/**", {}), ("/v1/books/{x}/y", {"x": "1"}),
    ]  # fmt: skip


def test_a_verb_is_one_only_where_a_template_has_it() -> None:
    assert found("/v1/a:b", "/v1/{name}", "/v1/{name}:move") == ("/v1/{name}", {"name": "a:b"})
    assert found("/v1/a:move", "/v1/{name}", "/v1/{name}:move") == ("/v1/{name}:move", {"name": "a"})


def test_a_path_that_has_other_methods_names_them() -> None:
    paths: Paths[int] = Paths()
    for method in ("PUT", "GET"):
        paths.add(method, Template("/v1/{name}"), 1)
    with pytest.raises(WrongMethod) as caught:
        paths.find("POST", "/v1/a")
    assert caught.value.allowed == ["GET", "PUT"]


def test_an_escape_that_is_no_utf_8_is_refused() -> None:
    with pytest.raises(ValueError, match=r"name: .* UTF-8"):
        found("/v1/%ff", "/v1/{name}")


def test_the_same_template_for_the_same_method_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        found("/", "/v1/{a}", "/v1/{b}")


@pytest.mark.parametrize(
    "template",
    [
        "", "v1", "/", "/v1/", "/v1//a", "/{", "/{}", "/{a=}", "/{a=b", "/{a}{b}", "/{a}/{a}", "/**/a", "/{a=**}/b",
        "/a b", "/{a={b}}", "/a:", "/a:b/c d", "/*x",
    ],
)  # fmt: skip
def test_what_is_no_template_is_refused(template: str) -> None:
    with pytest.raises(ValueError):
        Template(template)
