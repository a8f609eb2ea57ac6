"""Kafka: a client goes on with the sessions of Fetch that its own connection has begun."""

from __future__ import annotations

import pytest
from kafka_words import FETCH, answer, request

from metaproxy.codecs.framing import Session
from metaproxy.codecs.kafka import Kafka, schema
from metaproxy.codecs.kafka.values import encode
from metaproxy.message import Message, Side

VERSIONS = range(7, 19)
BEGIN, CLOSE = 0, -1


def form_of(version: int, answers: bool = False) -> schema.Form:
    form = (schema.response if answers else schema.request)(FETCH, version)
    assert form is not None
    return form


def asked(version: int, session: int, epoch: int, id: int = 7) -> bytes:
    """A Fetch that adds nothing."""
    form = form_of(version)
    body = encode(form, {"SessionId": session, "SessionEpoch": epoch})
    return request(FETCH, version, id, body, tags=b"\0" if form.flexible else b"")


def answered(version: int, session: int, id: int = 1, error: int = 0) -> bytes:
    form = form_of(version, answers=True)
    return answer(id, encode(form, {"SessionId": session, "ErrorCode": error}), b"\0" if form.flexible else b"")


class Peers:
    """A client, and the broker of its connection."""

    def __init__(self, codec: Kafka | None = None) -> None:
        codec = codec or Kafka()
        self.client: Session = codec.session(Side.CLIENT, 1 << 22)
        self.broker: Session = codec.session(Side.SERVER, 1 << 22)

    def ask(self, version: int, session: int, epoch: int) -> bytes | None:
        """What the proxy answers by itself; None: the broker is asked."""
        (message,) = self.client.receive(asked(version, session, epoch))
        return message.answer

    def begin(self, version: int, session: int) -> None:
        (message,) = self.client.receive(asked(version, 0, BEGIN))
        self.broker.send(message, 1)
        (said,) = self.broker.receive(answered(version, session))
        assert self.client.send(said, 7) == answered(version, session, 7)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_goes_on_with_its_own_session_and_with_no_other(version: int) -> None:
    peers = Peers()
    peers.begin(version, 4711)
    assert [peers.ask(version, 4711, epoch) for epoch in (1, 2, CLOSE)] == [None, None, None]
    refused = answered(version, 0, 7, schema.ERRORS["FETCH_SESSION_ID_NOT_FOUND"])
    assert [peers.ask(version, 4712, epoch) for epoch in (1, CLOSE)] == [refused, refused]
    assert Peers().ask(version, 4711, 3) == refused, "what another connection has begun is no one else's"


def test_who_begins_names_all_that_it_wants_whatever_session_it_had() -> None:
    peers = Peers()
    assert (peers.ask(18, 0, BEGIN), peers.ask(18, 4711, BEGIN), peers.ask(18, 0, CLOSE)) == (None, None, None)


@pytest.mark.parametrize("version", [4, 6])
def test_versions_without_sessions_pass(version: int) -> None:
    body = encode(form_of(version), {"MaxWaitMs": 1})
    (message,) = Peers().client.receive(request(FETCH, version, 7, body))
    assert message.answer is None


def test_of_very_many_sessions_those_that_were_begun_first_are_forgotten() -> None:
    peers = Peers()
    for session in range(1, 30):
        peers.begin(12, session)
    assert peers.ask(12, 29, 1) is None
    assert peers.ask(12, 1, 1) is not None


def test_a_large_answer_begins_a_session_with_its_head() -> None:
    peers = Peers()
    records = bytes(2 << 20)
    partition = {"PartitionIndex": 0, "Records": records}
    form = form_of(12, answers=True)
    values = {"SessionId": 5, "Responses": [{"Topic": b"orders", "Partitions": [partition]}]}
    (message,) = peers.client.receive(asked(12, 0, BEGIN))
    peers.broker.send(message, 1)
    for piece in peers.broker.receive(answer(1, encode(form, values), b"\0")):
        peers.client.send(piece, 7)
    assert peers.ask(12, 5, 1) is None


def test_a_fetch_of_a_session_names_what_it_adds_and_no_more() -> None:
    peers = Peers()
    peers.begin(12, 5)
    topic = {"Topic": b"orders", "Partitions": [{"Partition": 0}]}
    values = {"SessionId": 5, "SessionEpoch": 1, "Topics": [topic]}
    for more, topics in ((values, "orders"), ({**values, "Topics": []}, None)):
        (message,) = peers.client.receive(request(FETCH, 12, 7, encode(form_of(12), more), tags=b"\0"))
        assert Message.get(message, "topics") == topics


def test_a_fetch_that_ends_before_its_session_is_left_to_the_broker() -> None:
    (message,) = Peers().client.receive(request(FETCH, 11, 7, bytes(12)))
    assert message.answer is None
