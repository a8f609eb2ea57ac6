"""
For the tests of a plugin's author, and for ours: the contract as checks, and stand-ins for what the proxy hands over.

Lives here: `check_codec`, `check_relay`, `check_filter`, `check_balancer`, `check_discovery`: what
`metaproxy.interfaces` promises in words, as functions that raise AssertionError with a text that says what to mend;
`FakeExchange`, `FakeEndpoint`, `FakeReport`; `Stage`, which runs real exchanges over connections in memory; `Clock`,
which a test turns. They need no test framework. Does not: what a protocol's bytes mean; a plugin's own tests say that.

    def test_quill_keeps_the_contract():
        check_codec(Quill(), client=[CALL_7, PING], server=[ANSWER_7, ERROR_7])
"""

from twisted.internet.task import Clock

from metaproxy.testing.balancers import check_balancer
from metaproxy.testing.bench import Prepare
from metaproxy.testing.codec import check_codec
from metaproxy.testing.discovery import check_discovery
from metaproxy.testing.fakes import FakeEndpoint, FakeExchange, FakeReport
from metaproxy.testing.filters import check_filter
from metaproxy.testing.relay import check_relay
from metaproxy.testing.report import hexdump
from metaproxy.testing.stage import MemoryNetwork, Stage, Wire

__all__ = [
    "Clock",
    "FakeEndpoint",
    "FakeExchange",
    "FakeReport",
    "MemoryNetwork",
    "Prepare",
    "Stage",
    "Wire",
    "check_balancer",
    "check_codec",
    "check_discovery",
    "check_filter",
    "check_relay",
    "hexdump",
]
