from __future__ import annotations

import pytest

from metaproxy.discovery.etcd_keys import MAX_DEPTH, Folders, folders
from metaproxy.discovery.http_registry import RegistryError
from metaproxy.discovery.instances import MAX_ENTRY


def test_the_folders_of_a_key() -> None:
    assert list(folders("/a/b/c")) == ["/a/", "/a/b/"]
    assert list(folders("a/b")) == ["a/"]
    assert list(folders("/a")) == []


def test_keys_that_are_long_or_deep_cost_no_more_than_others() -> None:
    assert list(folders("/" * 1000)) == ["/" * (n + 2) for n in range(MAX_DEPTH)]
    known = Folders()
    known.put("/a/" + "/" * 1_000_000, b"x")
    assert known.values == {}
    known.drop("/a/" + "/" * 1_000_000)


def test_keys_are_found_by_each_folder_that_they_are_in() -> None:
    known = Folders()
    known.put("/a/b/1", b"x")
    known.put("/a/c/2", b"y")
    assert dict(known.below("/a/")) == {"/a/b/1": b"x", "/a/c/2": b"y"}
    assert dict(known.below("/a/b/")) == {"/a/b/1": b"x"}
    known.put("/a/b/1", b"z")
    known.drop("/a/c/2")
    known.drop("/nothing")
    assert dict(known.below("/a/")) == {"/a/b/1": b"z"}
    assert dict(known.below("/a/c/")) == {}


def test_a_value_is_kept_up_to_what_the_reader_refuses() -> None:
    known = Folders()
    known.put("/a/1", b"x" * 10 * MAX_ENTRY)
    assert len(known.values["/a/1"]) == MAX_ENTRY + 1


def test_bytes_are_bounded_and_what_is_gone_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metaproxy.discovery.etcd_keys.MOST_BYTES", 20)
    known = Folders()
    for _ in range(10):
        known.put("/a/1", b"0123456789")
        known.drop("/a/1")
    known.put("/a/1", b"0123456789")
    with pytest.raises(RegistryError, match="narrower"):
        known.put("/a/2", b"0123456789")
