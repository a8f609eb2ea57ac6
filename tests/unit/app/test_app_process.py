from __future__ import annotations

import gc
import resource
import socket

import pytest

from metaproxy.app.process import must_be_free, raise_file_limit, settle_memory


def test_an_admin_address_that_is_taken_is_told_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match=r"admin\.listen: 127\.0\.0\.1:"):
            must_be_free(f"127.0.0.1:{taken.getsockname()[1]}")


@pytest.mark.parametrize("where", ["127.0.0.1:0", "unix:/run/no/such.sock", "localhost:1"])
def test_an_address_that_is_free_or_can_not_be_tried_passes(where: str) -> None:
    must_be_free(where)


def test_as_many_files_may_be_open_as_the_system_allows() -> None:
    raise_file_limit()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft == hard


def test_what_the_start_loaded_is_not_walked_by_the_collector() -> None:
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    loaded: list[list[int]] = [[] for _ in range(100)]
    try:
        settle_memory()
        assert gc.get_freeze_count() >= frozen + len(loaded)
    finally:
        gc.set_threshold(*before)
