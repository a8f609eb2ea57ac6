"""
What servers are asked for their role, and what their answers say: primary or replica, how far behind, where in the log.

Lives here: `QUESTION`, `traits_of`. Does not: who asks, and what follows.
"""

from __future__ import annotations

from collections.abc import Mapping

from metaproxy.codecs.postgres import wire
from metaproxy.codecs.postgres.metadata import steps
from metaproxy.message import FrameError

_SQL = """
SELECT pg_is_in_recovery(),
  CASE WHEN NOT pg_is_in_recovery() OR pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
    ELSE extract(epoch FROM now() - pg_last_xact_replay_timestamp()) END,
  CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_lsn()), 8) END,
  CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END - '0/0'
"""
QUESTION = wire.message(b"Q", " ".join(_SQL.split()).encode() + b"\0")
"""
A replica that has carried out all that it received is not behind, however long nothing has been written. The number of
the timeline grows whenever a replica becomes the primary; only a primary knows it for certain.
"""


def traits_of(frame: bytes) -> Mapping[str, str]:
    """What the answer says. May raise FrameError."""
    row = next((frame[at:stop] for kind, at, stop in steps(frame) if kind == b"D"), None)
    if row is None:
        raise FrameError("the answer to the question for the role has no row")
    found = wire.columns(row)
    if len(found) != 4:
        raise FrameError("the answer to the question for the role has other columns")
    recovering, lag, timeline, position = found
    if recovering not in (b"t", b"f"):
        raise FrameError(f"the server says {recovering!r:.40} where t or f is expected")
    traits = {"role": "replica" if recovering == b"t" else "primary"}
    if recovering == b"f":
        traits["term"] = str(_number(timeline, 16))
    elif lag is not None:
        traits["lag"] = lag.decode("ascii", "replace")
    if position is not None:
        traits["position"] = str(_number(position, 10))
    return traits


def _number(text: bytes | None, base: int) -> int:
    try:
        return int(text or b"0", base)
    except ValueError:
        raise FrameError(f"the server says {text!r:.40} where a number is expected") from None
