"""The live page as files; what it does in a browser is in tests/interop/test_page.py."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from browser import Desk
from present import present

from metaproxy.admin import problems, slow
from metaproxy.admin.page import POLICY, TYPES, read
from metaproxy.message import ErrorKind

FILES = sorted(read("metaproxy.admin"))
OURS = [name for name in FILES if not name.startswith("htm-preact")]


def text_of(name: str) -> str:
    body = read("metaproxy.admin")[name].body
    assert isinstance(body, bytes)
    return body.decode()


def test_the_page_is_there_with_what_it_loads() -> None:
    desk = Desk()
    page = desk.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    loaded = re.findall(r'(?:src|href)="(static/[\w.-]+)"', page.text)
    assert {"static/page.css", "static/page.js", "static/icon.svg"} <= set(loaded)
    for path in loaded:
        assert desk.get(f"/{path}").status == 200


@pytest.mark.parametrize("name", FILES)
def test_each_file_is_served_as_what_it_is_and_lets_nothing_inline_run(name: str) -> None:
    response = Desk().get(f"/static/{name}")
    assert response.headers["content-type"] == TYPES[name[name.rindex(".") :]]
    assert response.headers["content-security-policy"] == POLICY
    assert "unsafe" not in POLICY


@pytest.mark.parametrize("name", [name for name in OURS if name.endswith(".js")])
def test_what_a_file_imports_is_there(name: str) -> None:
    imported = re.findall(r'from "\./([\w.-]+)"', text_of(name))
    assert set(imported) <= set(FILES)


@pytest.mark.parametrize("name", OURS)
def test_nothing_comes_from_elsewhere_and_nothing_is_markup_that_was_not_meant_so(name: str) -> None:
    text = text_of(name).replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|[\"'(]//", text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", text)
    assert not re.search(r"<[^>]+\son\w+=[\"']", text)  # of HTML; htm's handlers are ${...}


def test_no_path_leads_out_of_the_folder() -> None:
    for name in ("..%2Fpage.py", "%2e%2e", "__init__.py", "page.html"):
        assert Desk().get(f"/static/{name}").status == 404


def test_the_page_needs_no_token_and_its_data_do() -> None:
    desk = Desk(tokens=SimpleNamespace(read="r", write="w"))
    assert [desk.get(path).status for path in ("/", "/static/page.js", "/help")] == [200, 200, 200]
    assert [desk.get(path).status for path in ("/flows", "/clusters", "/runtime", "/server_info")] == [401] * 4


def test_the_library_has_its_licence_beside_it() -> None:
    text = text_of("htm-preact.LICENSE.txt")
    assert "Apache License" in text
    assert "The MIT License" in text


# -- what the page says is explained

ON_CALL = (Path(__file__).parents[3] / "docs" / "how-to" / "on-call.md").read_text()


@pytest.mark.parametrize(
    "phrase",
    [
        "The proxy does not answer", "The proxy is not ready", "The proxy drains", "The configuration was refused",
        "no usable endpoint", "has no endpoint", "too many requests for the breaker", "too many requests waiting",
        "the breaker's limit of", "is paused", "can't be loaded", "and it is still used",
        "times its usual", "was started again", "is not ready",
    ],
)  # fmt: skip
def test_what_the_page_calls_wrong_is_explained_to_who_is_on_call(phrase: str) -> None:
    said = [text_of("figures.js"), *(Path(present(one.__file__)).read_text() for one in (problems, slow))]
    assert any(phrase in text for text in said)
    assert phrase in ON_CALL


@pytest.mark.parametrize("outcome", [*(kind.value for kind in ErrorKind), "error", "downstream_gone"])
def test_each_way_to_fail_is_explained_to_who_is_on_call(outcome: str) -> None:
    assert f"| `{outcome}` |" in ON_CALL
