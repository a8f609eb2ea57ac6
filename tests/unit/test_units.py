from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaproxy.units import percent, seconds, size


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("250us", 0.00025), ("250ms", 0.25), ("2s", 2.0), ("5m", 300.0), ("1h", 3600.0), ("1d", 86400.0),
        ("1.5s", 1.5), ("0s", 0.0), (0, 0.0), (15, 15.0), (0.5, 0.5),
    ],
)  # fmt: skip
def test_a_duration_is_read_in_seconds(written: object, meant: float) -> None:
    assert seconds(written) == pytest.approx(meant)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("64KiB", 65536), ("16MiB", 16 << 20), ("1GiB", 1 << 30), ("1KB", 1000), ("2MB", 2_000_000), ("1GB", 10**9),
        ("512B", 512), ("512", 512), ("1.5KiB", 1536), (0, 0), (4096, 4096),
    ],
)  # fmt: skip
def test_a_size_is_read_in_bytes(written: object, meant: int) -> None:
    assert size(written) == meant
    assert isinstance(size(written), int)


@pytest.mark.parametrize(("written", "meant"), [(0, 0.0), (0.5, 0.5), (25, 25.0), (100, 100.0)])
def test_a_percentage_is_a_number_from_0_to_100(written: object, meant: float) -> None:
    assert percent(written) == meant


NO_DURATION = [
    "15 s",
    "s",
    "",
    "-1s",
    "1.s",
    "1e3s",
    "1h30m",
    "15S",
    -1,
    -0.1,
    True,
    None,
    [1],
    float("nan"),
    "9" * 400,
]
NO_SIZE = ["64 KiB", "KiB", "", "-1", "64kib", "1.5.5KiB", -1, 1.5, True, None, {}]
NO_PERCENTAGE = ["25", "25%", -1, 100.1, True, None, float("nan"), float("inf")]


@pytest.mark.parametrize(
    ("read", "written", "told"),
    [
        *((seconds, written, "write 15s, 500ms, 5m or a number of seconds") for written in NO_DURATION),
        *((size, written, "write 64KiB, 16MiB or a number of bytes") for written in NO_SIZE),
        *((percent, written, "write a number from 0 to 100") for written in NO_PERCENTAGE),
    ],
)
def test_anything_else_is_refused_with_what_to_write(
    read: Callable[[object], float], written: object, told: str
) -> None:
    with pytest.raises(ValueError, match=r"is not a ") as refused:
        read(written)
    assert told in str(refused.value)


def test_no_duration_or_size_is_infinite_however_many_digits_it_has() -> None:
    """A timer that is set for ever, or an OverflowError in the place of a ValueError, would come of it."""
    assert seconds("9" * 400 + "d") == seconds(float("inf")) == seconds(10**400) == sys.float_info.max
    assert size("9" * 400 + "GiB") == size("9" * 400) == int(sys.float_info.max)


ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.lists(st.integers(), max_size=2),
    st.from_regex(r"\d{1,400}(\.\d+)?(us|ms|s|m|h|d|B|KiB|MiB|GiB|KB)", fullmatch=True),
)  # fmt: skip


@given(ANYTHING)
def test_whatever_is_written_is_read_or_refused(written: object) -> None:
    for read in (seconds, size, percent):
        try:
            value = read(written)
        except ValueError:
            continue
        assert value >= 0
        assert value != float("inf")
