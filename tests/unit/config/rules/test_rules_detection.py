"""A listener that finds out what its clients speak names listeners, and has nothing else."""

from __future__ import annotations

import pytest
from checked import outcome

BEHIND = """
listeners:
  - {name: front, listen: "127.0.0.1:0", protocol: {name: auto, candidates: [rpc, web]}}
  - {name: rpc, protocol: redis, routes: [{cluster: back}]}
  - {name: web, protocol: http, routes: [{reply: {error: denied}}]}
clusters:
  - {name: back, endpoints: ["127.0.0.1:1"]}
"""


def test_candidates_need_no_address() -> None:
    assert outcome(BEHIND)[1] == []


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ("candidates: [rpc, web]", "candidates: [rpc, wed]", "there is no listener 'wed'; did you mean 'web'?"),
        ("candidates: [rpc, web]", "candidates: [rpc]", "no listen: write an address"),
        ("candidates: [rpc, web]", "candidates: [rpc, web, front]", "has protocol: auto itself"),
        ("candidates: [rpc, web]}", "candidates: [rpc, web]}, routes: [{cluster: back}]", "has no effect"),
    ],
)
def test_what_cannot_work_is_refused(before: str, after: str, text: str) -> None:
    found = outcome(BEHIND.replace(before, after))[1]
    assert any(text in one for one in found), found
