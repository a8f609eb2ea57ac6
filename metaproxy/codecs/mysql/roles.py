"""
What servers of MySQL and MariaDB are asked for their role, and what their answers say: primary or replica, how far
behind, how far in the log.

Two statements are one question: variables, of which each of the two has its own, and the state of replication, of which
an older server, or one that does not let the account ask, knows nothing: then `read_only` alone decides.

Lives here: `QUESTION`, `traits_of`. Does not: who asks, and what follows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from metaproxy.codecs.mysql import commands
from metaproxy.codecs.mysql.packets import EOF, ERR, HEAD, head_of, packet, read_error, read_integer
from metaproxy.message import FrameError

QUESTION = packet(
    bytes((commands.QUERY,))
    + b"SHOW GLOBAL VARIABLES WHERE Variable_name IN ('read_only', 'super_read_only', 'gtid_executed',"
    b" 'gtid_current_pos', 'gtid_binlog_pos', 'gtid_slave_pos'); SHOW REPLICA STATUS",
    0,
)
Rows = list[dict[str, str]]
_ON = ("on", "1")
_FOLLOWS = ("yes", "connecting", "preparing")
_NEVER = "inf"


def traits_of(frame: bytes) -> Mapping[str, str]:
    """What the answer says. May raise FrameError."""
    variables, *more = _results(frame)
    if variables is None:
        raise FrameError("the answer to the question for the role has no rows")
    known = {row.get("variable_name", "").lower(): row.get("value", "") for row in variables}
    if "read_only" not in known:
        raise FrameError("the server does not say whether it is read_only")
    channels = more[0] if more and more[0] is not None else []
    follows = any(row.get(f"replica_{thread}_running", "").lower() in _FOLLOWS for row in channels for thread in _BOTH)
    if known["read_only"].lower() not in _ON and not follows:
        traits = {"role": "primary"}
    else:
        traits = {"role": "replica", "lag": max((_lag(row) for row in channels), key=float, default="0")}
    position = _executed(known["gtid_executed"]) if "gtid_executed" in known else _sequence(known)
    if position:
        traits["position"] = str(position)
    return traits


_BOTH = ("io", "sql")


def _lag(row: Mapping[str, str]) -> str:
    """
    Seconds. A replica that has lost its primary, and has carried out all that it got, is not behind as far as anyone
    knows; one that does not ask for more, or carries nothing out, is behind for ever.
    """
    io, sql = (row.get(f"replica_{thread}_running", "").lower() for thread in _BOTH)
    behind = row.get("seconds_behind_source", "")
    if sql != "yes" or io not in _FOLLOWS:
        return _NEVER
    if behind.isdigit():
        return behind
    here = row.get("relay_source_log_file"), row.get("exec_source_log_pos")
    return "0" if here == (row.get("source_log_file"), row.get("read_source_log_pos")) else _NEVER


def _sequence(known: Mapping[str, str]) -> int:
    """Of MariaDB's GTIDs `domain-server-sequence`: the highest sequence; of several domains none says it."""
    highest: dict[str, int] = {}
    for name in ("gtid_current_pos", "gtid_binlog_pos", "gtid_slave_pos"):
        for gtid in known.get(name, "").split(","):
            domain, _, rest = gtid.strip().partition("-")
            sequence = rest.partition("-")[2]
            if sequence.isdigit():
                highest[domain] = max(highest.get(domain, 0), int(sequence))
    return next(iter(highest.values())) if len(highest) == 1 else 0


def _executed(text: str) -> int:
    """Of MySQL's GTIDs `uuid:1-5,uuid:1-7`: how many there are; 0 where some are missing between them."""
    count = 0
    for part in text.replace("\n", "").split(","):
        _, _, interval = part.strip().partition(":")
        first, _, last = interval.partition("-")
        if not interval:
            continue
        if first != "1" or not (last or first).isdigit():
            return 0
        count += int(last or first)
    return count


# -- rows


def _results(frame: bytes) -> list[Rows | None]:
    """The rows of each result, by the names of their columns in lower case; None for an error behind the first one."""
    packets = _packets(frame)
    found: list[Rows | None] = []
    for first in packets:
        if first[0] == ERR:
            if not found:
                raise FrameError(f"asked for its role, the server says: {read_error(first).text[:200]}")
            found.append(None)
            break
        if not first[0]:
            found.append([])
            continue
        number, _ = read_integer(first, 0)
        found.append(_rows(packets, [_column(next(packets, b"")) for _ in range(number)]))
    return found or [None]


def _rows(packets: Iterator[bytes], columns: list[str]) -> Rows:
    rows: Rows = []
    behind_columns = True
    for payload in packets:
        ends = payload[0] == EOF and len(payload) < 0xFFFF
        if ends and behind_columns and len(payload) == 5 and not rows:
            behind_columns = False  # the end of the columns, where servers send one
            continue
        behind_columns = False
        if ends:
            return rows
        if payload[0] == ERR:
            raise FrameError(f"asked for its role, the server says: {read_error(payload).text[:200]}")
        rows.append(dict(zip(columns, _texts(payload), strict=False)))
    raise FrameError("the answer to the question for the role is cut off")


def _packets(frame: bytes) -> Iterator[bytes]:
    at = 0
    while len(frame) - at > HEAD:
        size, _ = head_of(frame, at)
        payload = frame[at + HEAD : at + HEAD + size]
        if not size or len(payload) < size:
            raise FrameError("the answer to the question for the role is cut off")
        yield payload
        at += HEAD + size


def _column(payload: bytes) -> str:
    """The name of a column, as MariaDB and MySQL call it now."""
    texts = _texts(payload, 5)
    name = texts[4].lower() if len(texts) > 4 else ""
    return name.replace("slave", "replica").replace("master", "source") if "gtid" not in name else name


def _texts(payload: bytes, most: int = 1 << 16) -> list[str]:
    """NULL is an empty text."""
    found: list[str] = []
    at = 0
    while at < len(payload) and len(found) < most:
        if payload[at] == 0xFB:
            found.append("")
            at += 1
            continue
        size, at = read_integer(payload, at)
        if size > len(payload) - at:
            raise FrameError("the answer to the question for the role is cut off")
        found.append(payload[at : at + size].decode("utf-8", "replace"))
        at += size
    return found
