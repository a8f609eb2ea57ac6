from __future__ import annotations

import gc
import resource

from metaproxy.app.process import COLLECTIONS, raise_file_limit, settle_memory


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
        assert gc.get_threshold() == COLLECTIONS
    finally:
        gc.set_threshold(*before)
