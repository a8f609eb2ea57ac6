"""How long a login may take."""

from __future__ import annotations

from metaproxy.codecs.login_time import LoginTime


def test_the_time_is_over_once_it_has_passed_since_the_first_look() -> None:
    time = LoginTime(5.0)
    assert [time.over(now) for now in (100.0, 104.9, 105.0)] == [False, False, True]


def test_without_a_limit_it_never_is() -> None:
    time = LoginTime(0.0)
    assert [time.over(now) for now in (100.0, 1e9)] == [False, False]
