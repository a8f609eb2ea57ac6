"""Files in memory: what is read there, what a change looks like, and that no other user can read them."""

from __future__ import annotations

import os
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from authority import Authority

from metaproxy.envoy import memory_files
from metaproxy.envoy.memory_files import MemoryFiles
from metaproxy.proxy.certificates import Pair, client_context, server_context


@pytest.fixture
def files() -> Iterator[MemoryFiles]:
    found = MemoryFiles()
    yield found
    found.close()


def test_a_file_has_the_bytes_and_is_no_file_of_a_disk(files: MemoryFiles) -> None:
    path = Path(files.put("key", b"secret"))
    assert path.read_bytes() == b"secret"
    assert str(path).startswith("/proc/self/fd/") and "memfd" in os.readlink(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_same_bytes_change_nothing_and_others_are_a_change_of_the_same_path(files: MemoryFiles) -> None:
    path = files.put("key", b"one")
    before = os.stat(path).st_ino
    assert files.put("key", b"one") == path and os.stat(path).st_ino == before
    assert files.put("key", b"two") == path and os.stat(path).st_ino != before
    assert Path(path).read_bytes() == b"two"


def test_names_are_apart_and_bytes_without_a_name_are_found_by_themselves(files: MemoryFiles) -> None:
    assert files.put("a", b"x") != files.put("b", b"x")
    assert files.put_unnamed(b"y") == files.put_unnamed(b"y") != files.put_unnamed(b"z")


def test_no_child_gets_them(files: MemoryFiles) -> None:
    for data in (b"one", b"two"):
        number = int(Path(files.put("key", data)).name)
        assert not os.get_inheritable(number)


def test_there_is_a_bound(files: MemoryFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_files, "MOST", 2)
    files.put("a", b"")
    files.put("b", b"")
    with pytest.raises(OSError, match="more than 2"):
        files.put("c", b"")
    files.put("a", b"more")


def test_contexts_are_made_of_them(files: MemoryFiles, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    issued = authority.issue("server", "a.example.org")
    certificate, key = (Path(files.put(one.name, one.read_bytes())) for one in issued)
    context, not_after = server_context([Pair(certificate, key)])
    assert isinstance(context, ssl.SSLContext) and not_after > 0
    client_context(Path(files.put("ca", authority.ca.read_bytes())))
