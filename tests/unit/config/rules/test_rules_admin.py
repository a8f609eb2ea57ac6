"""The admin API: an address that others can reach has a guard."""

from __future__ import annotations

import pytest
from checked import accepted, refused


@pytest.mark.parametrize(
    "admin",
    [
        "listen: 127.0.0.1:1",
        "listen: 127.9.9.9:1",
        "listen: '[::1]:1'",
        "listen: localhost:1",
        "listen: unix:/run/x.sock",
        "listen: 0.0.0.0:1, insecure: true",
        "listen: 0.0.0.0:1, tokens: {read: a}",
        "listen: 0.0.0.0:1, tokens: {read: a, write: b}",
    ],
)
def test_the_admin_address_is_local_or_guarded(admin: str) -> None:
    accepted(f"admin: {{{admin}}}")


@pytest.mark.parametrize("address", ["0.0.0.0:1", "'[::]:1'", "10.0.0.1:1", "example.org:1", "localhost.example.org:1"])
def test_an_admin_address_that_others_can_reach_is_refused(address: str) -> None:
    (problem,) = refused(f"admin: {{listen: {address}}}")
    assert "give tokens: or tls:, or say insecure: true" in problem
    assert problem.startswith("1:17: admin.listen: others can reach ")


def test_a_guard_that_is_written_wrong_is_told_once() -> None:
    assert refused("admin: {listen: 0.0.0.0:1, tokens: 5}") == [
        "1:36: admin.tokens: 5 is not a mapping with read, write"
    ]
    assert refused("admin: {listen: 0.0.0.0:1, tokens: {}}") == [
        "1:36: admin.tokens: no token; write read: or write:, or both"
    ]
    assert refused("admin: {listen: 0.0.0.0:1, token: {read: a}}") == [
        "1:28: admin.token: unknown key 'token'; did you mean 'tokens'?"
    ]
