"""MySQL's recordings: what they have of a client's state, and what is played of those where logins passed."""

from __future__ import annotations

import json
from typing import Any

from mysql_words import command, greeting, ok, query
from replay_hall import Hall

from metaproxy.codecs.mysql import MySQL
from metaproxy.codecs.mysql.profile import Profile, profile_of
from metaproxy.message import Hold, Kind, Message
from metaproxy.recording.entries import Entry, Frame

PROFILE = Profile(0, 45, b"d\xff", (("names", "utf8mb4"),), b"ann")


def entry(place: int, frame: bytes, profile: Any = None, kind: Kind = Kind.REQUEST) -> Entry:
    message = Message(kind, frame, hold=Hold.EXCHANGE, profile=profile)
    kept = Frame.read(json.loads(json.dumps(Frame.of(message, frame, {}).json())))
    return Entry(place, float(place), 0.5, "a/1", kept)


def hall(*entries: Entry) -> Hall:
    made = Hall(MySQL(users={"nobody": "none"}), speed=0, credentials={"user": "app", "password": "secret"})
    made.play(*entries)
    made.wires[0].protocol.dataReceived(greeting())
    made.wires[0].take()
    made.wires[0].protocol.dataReceived(ok(2))
    return made


def test_a_recording_has_the_state_of_a_client() -> None:
    assert profile_of(entry(0, b"", PROFILE).request.profile) == PROFILE
    assert profile_of(("d", "ann")) == Profile()


def test_a_command_is_played_in_that_state() -> None:
    play = hall(entry(0, query("select 1"), PROFILE))
    assert play.wires[0].take() == command(2, b"d\xff") + query("SET NAMES utf8mb4")
    play.wires[0].protocol.dataReceived(ok() + ok())
    assert play.wires[0].take() == query("select 1")


def test_a_login_that_passed_is_not_played_and_what_follows_is() -> None:
    play = hall(entry(0, b""), entry(1, query("select 1")), entry(2, command(1), kind=Kind.ONEWAY))
    assert play.wires[0].take() == query("select 1")
    play.wires[0].protocol.dataReceived(ok())
    assert play.wires[0].take() == command(1)
    ((first, second, _),) = play.done
    assert "nothing is known of this command" in first.error
    assert (second.error, second.answer.frame) == ("", ok())
