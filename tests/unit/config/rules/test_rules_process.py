"""The process as a whole: its memory and its folders of plugins."""

from __future__ import annotations

import pytest
from checked import warned


def test_a_folder_that_is_not_there_is_a_warning() -> None:
    assert warned("plugins: [/nowhere/at/all]") == ["1:10: plugins: /nowhere/at/all is no folder, or not yet"]


@pytest.mark.parametrize(("most", "warns"), [("1MiB", True), ("63MiB", True), ("64MiB", False), ("0", False)])
def test_less_memory_than_the_process_takes_by_itself_is_a_warning(most: str, warns: bool) -> None:
    found = [one for one in warned(f"overload: {{max_memory: {most}}}") if "it would refuse everything" in one]
    assert found == (
        ["1:24: overload.max_memory: the process alone takes about 64 MiB: it would refuse everything"] * warns
    )
