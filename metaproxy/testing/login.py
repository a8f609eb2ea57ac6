"""
What a session does on a new connection to a server: what it says, whom the answers reach, and a login that is refused.

Lives here: `check_login`. Does not: a client's login, whose answers are `Message.answer`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metaproxy.message import ErrorKind, Kind, Message, Side
from metaproxy.testing.bench import Bench
from metaproxy.testing.report import need, shorten

_CREDENTIALS: tuple[dict[str, str], ...] = (
    {},
    {"username": "anna", "password": "secret"},
    {"user": "anna", "password": "secret"},
)


def check_login(bench: Bench) -> None:
    for credentials in (bench.credentials, *_CREDENTIALS):
        session = bench.bare(Side.SERVER)
        made_up = bool(credentials) and credentials is not bench.credentials
        if made_up and not _takes(bench, credentials):
            continue
        opening = bench.call(f"open() with credentials {sorted(credentials)}", session.open, bench.profile, credentials)
        need(isinstance(opening, bytes), f"open() gave {opening!r}; it must give bytes, b'' for nothing to say")
        need(isinstance(session.ready, bool), f"ready is {session.ready!r} behind open(); it must be True or False")
        if not opening and bench.prepare is None and not bench.codec.server_first:
            need(session.ready, "open() said nothing, but the session is not ready: what does it wait for?")
        if not session.ready:
            _check_refused(bench, credentials)
    _check_prepared(bench)


def _takes(bench: Bench, credentials: Mapping[str, str]) -> bool:
    """Whether a login can be made of these: another may want other words."""
    try:
        bench.bare(Side.SERVER).open(bench.profile, credentials)
    except Exception:
        return False
    return True


def _check_refused(bench: Bench, credentials: Mapping[str, str]) -> None:
    """An error in the place of the login's answer."""
    _, request = next(bench.requests())
    refusal = bench.reply("reply()", request, ErrorKind.DENIED, "no such user")
    session = bench.bare(Side.SERVER)
    session.open(bench.profile, credentials)
    said = bench.feed(session, [refusal], bench.max_frame)
    need(
        not said or session.error is not None,
        f"a login was refused, and the session gave {shorten(said)}: the answers to open() reach no client",
        refusal,
    )
    if session.buffered == 0 or session.ready:
        need(
            session.error is not None,
            "a login was refused by an error, and `error` is not set: requests would be sent on, or wait for ever",
            refusal,
        )


def _check_prepared(bench: Bench) -> None:
    """What `prepare` feeds before the session is ready answers open()."""
    if bench.prepare is None:
        return
    session: Any = bench.bare(Side.SERVER)
    bench.open(session)
    receive = session.receive
    leaked: list[Message] = []

    def watched(data: bytes) -> list[Message]:
        before = session.ready
        messages: list[Message] = receive(data)
        if not before:
            leaked.extend(message for message in messages if message.kind in (Kind.RESPONSE, Kind.ERROR))
        return messages

    try:
        session.receive = watched
    except AttributeError:  # slots
        return
    bench.prepare(session, Side.SERVER)
    need(
        not leaked,
        f"the login's answer gave {shorten(leaked)}; the answers to open() are the session's business and reach no"
        " client",
    )
