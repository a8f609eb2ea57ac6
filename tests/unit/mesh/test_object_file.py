"""A file of objects, of which only the documents that have changed are read again."""

from __future__ import annotations

import pytest
from mesh_objects import written

from metaproxy.mesh.object_file import ObjectFile
from metaproxy.mesh.objects.reading import read_text

X, Y, Z = (written("ApplicationProtocol", name, f"{{protocol: {name}, codec: c}}") for name in "xyz")
WRONG = X.replace("codec", "codek")


def joined(*documents: str) -> bytes:
    return "---\n".join(documents).encode()


def test_a_document_that_stands_where_it_stood_is_not_read_again() -> None:
    file = ObjectFile("x.yaml")
    before = list(file.read(joined(X, Y, Z)))
    after = list(file.read(joined(X, Y.replace("codec: c", "codec: d"), Z)))
    assert [one is other for one, other in zip(before, after, strict=True)] == [True, False, True]


def test_a_document_that_has_moved_is_read_again_for_its_lines() -> None:
    file = ObjectFile("x.yaml")
    *_, before = file.read(joined(X, WRONG))
    *_, after = file.read(joined("# one more line\n" + X, WRONG))
    lines = X.count("\n")
    assert (before.place, after.place) == (f"x.yaml:{lines + 2}", f"x.yaml:{lines + 3}")
    (problem, *_) = after.problems
    assert int(problem.split(":")[1]) > lines + 3


@pytest.mark.parametrize(
    "text",
    [
        joined(X, WRONG, Z),
        joined("# about\n", X, "", "# nothing\n", Y),
        joined(X, "a: [", Z).replace(b"a: [", b"a: 1\na: 2"),
        b"%YAML 1.1\n" + joined("", X, WRONG),
        joined(X + "...\n", WRONG),
        joined(X, WRONG).replace(b"\n", b"\r\n"),
        joined(X, WRONG).replace(b"\n", b"\r"),
        joined(X, "a: |\n  text\n  ---\n  text\n", WRONG),
        joined(X, WRONG).replace(b"codek", "codek\u2028".encode()),
        b"--- " + joined(X),
        b"---",
        b"",
        b"\xff" + joined(X),
        joined(X, WRONG + "...\n# end\n"),
    ],
)
def test_it_says_what_the_text_read_as_a_whole_says(text: bytes) -> None:
    assert list(ObjectFile("x.yaml").read(text)) == list(read_text(text, "x.yaml"))


def test_what_is_no_yaml_costs_its_own_document_alone() -> None:
    found = list(ObjectFile("x.yaml").read(joined(X, "a: [\n", Z)))
    assert [one.key.name if one.key is not None else one.problems for one in found] == [
        "x", (found[1].problems[0],), "z",
    ]  # fmt: skip
    assert found[1].problems[0].startswith("x.yaml:")


def test_a_file_that_is_too_large_is_refused_as_a_whole() -> None:
    (one,) = ObjectFile("x.yaml").read(joined(X, "#" * (16 << 20)))
    assert one.problems == ("x.yaml:1:1: the file has more than 16 MiB",)
