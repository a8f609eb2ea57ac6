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


CHAINED = """
listeners:
  - name: front
    listen: "127.0.0.1:0"
    protocol: auto
    original_destination: true
    chains:
      - {match: {port: 6379, encrypted: false}, listener: rpc}
      - {match: {destination: [10.0.0.0/8], server_names: "*.example.org", alpn: h2}, listener: web}
      - {listener: either}
  - {name: rpc, protocol: redis, routes: [{cluster: back}]}
  - {name: web, protocol: http, routes: [{reply: {error: denied}}]}
  - {name: either, protocol: {name: auto, candidates: [rpc, web]}}
clusters:
  - {name: back, endpoints: ["127.0.0.1:1"]}
"""


def test_what_chains_lead_to_needs_no_address() -> None:
    assert outcome(CHAINED)[1] == []


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ("listener: either}", "listener: eithr}", "no listener 'eithr'; did you mean 'either'?"),
        ("listener: either}", "listener: front}", "leads to the listener itself"),
        ("protocol: auto\n", "protocol: redis\n", "write protocol: auto"),
        ("protocol: auto\n", "protocol: {name: auto, candidates: [rpc]}\n", "exclude each other"),
        ("candidates: [rpc, web]}}", "wait: 3}}", "auto needs candidates"),
        ("port: 6379", "port: 70000", "1 to 65535"),
        ("10.0.0.0/8", "10.0.0.0/40", "no network or address"),
        ("original_destination: true", "tls: {certificate: c.pem, key: k.pem}", "has no effect"),
        ("      - {listener: either}\n", "", "no listen: write an address"),
    ],
)
def test_chains_that_cannot_work_are_refused(before: str, after: str, text: str) -> None:
    assert before in CHAINED
    found = outcome(CHAINED.replace(before, after))[1]
    assert any(text in one for one in found), found


MEANT = """
listeners:
  - {name: front, listen: "127.0.0.1:0", protocol: auto, original_destination: true, hand_over: true}
  - {name: rpc, meant_for: "10.0.0.1:6379", protocol: redis, routes: [{cluster: back}]}
  - {name: web, meant_for: ["0.0.0.0:80"], protocol: http, routes: [{reply: {error: denied}}]}
clusters:
  - {name: back, endpoints: ["127.0.0.1:1"]}
"""


def test_what_connections_are_meant_for_needs_no_address_of_its_own() -> None:
    assert outcome(MEANT)[1] == []


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ("original_destination: true, ", "", "original_destination: true, which says"),
        ("protocol: auto", "protocol: redis", "write protocol: auto"),
        ('["0.0.0.0:80"]', '"10.0.0.1:6379"', "go to listener 'rpc' already"),
        ("hand_over: true}", 'hand_over: true, meant_for: "10.0.0.9:1"}', "takes none of others"),
    ],
)
def test_addresses_that_cannot_work_are_refused(before: str, after: str, text: str) -> None:
    assert before in MEANT
    found = outcome(MEANT.replace(before, after, 1))[1]
    assert any(text in one for one in found), found
