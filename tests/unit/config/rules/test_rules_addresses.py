"""The addresses at which the proxy listens."""

from __future__ import annotations

import pytest
from checked import refused


@pytest.mark.parametrize(
    ("one", "other", "free"),
    [
        ("127.0.0.1:80", "127.0.0.1:80", False),
        ("127.0.0.1:80", "127.0.0.1:81", True),
        ("127.0.0.1:80", "127.0.0.2:80", True),
        ("127.0.0.1:80", "0.0.0.0:80", False),
        ("'[::]:80'", "'[::1]:80'", False),
        ("'[::1]:80'", "127.0.0.1:80", True),
        ("127.0.0.1:0", "127.0.0.1:0", True),
        ("unix:/a", "unix:/a", False),
        ("unix:/a", "unix:/b", True),
        ("0.0.0.0:9901", "127.0.0.1:80", False),
        ("'[::]:9901'", "127.0.0.1:80", True),
    ],
)
def test_no_two_may_listen_at_one_address(one: str, other: str, free: bool) -> None:
    text = (
        f"listeners:\n- {{name: a, protocol: dubbo, listen: [{one}, unix:/x]}}\n"
        f"- {{name: b, protocol: dubbo, listen: {other}}}\n"
    )
    problems = refused(text)
    assert (problems == []) is free
    assert all("is taken already, by " in problem for problem in problems)


def test_what_is_taken_is_told_with_its_place() -> None:
    text = "listeners:\n- {name: a, listen: a:1, protocol: dubbo}\n- {name: b, listen: [b:1, a:1], protocol: dubbo}"
    assert refused(text) == ["3:27: listeners[1].listen[1]: a:1 is taken already, by listeners[0].listen in line 2"]
    assert refused("listeners: [{name: a, listen: 127.0.0.1:9901, protocol: dubbo}]") == [
        "1:31: listeners[0].listen: 127.0.0.1:9901 is taken already, by admin, by default"
    ]
