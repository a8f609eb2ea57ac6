"""
`check_codec`: the contract of a codec and its sessions as one call, for the tests of its author.

Lives here: the order of the checks. Does not: the checks, each in a module of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from metaproxy.interfaces import ICodec
from metaproxy.message import Side
from metaproxy.testing.answers import check_probe, check_replies, check_send
from metaproxy.testing.bench import Bench, Prepare
from metaproxy.testing.bounds import check_bounds, check_costs, check_growth
from metaproxy.testing.declaration import check_declaration, check_sessions
from metaproxy.testing.frames import check_holds, check_single_frames
from metaproxy.testing.joining import Join, join_bytes
from metaproxy.testing.login import check_login
from metaproxy.testing.mutations import check_mutations
from metaproxy.testing.splits import check_splits
from metaproxy.testing.streams import check_cuts, check_cutter, check_damage, check_isolation
from metaproxy.testing.watchdog import Watchdog


def check_codec(
    codec: ICodec,
    client: Sequence[bytes],
    server: Sequence[bytes],
    max_frame: int = 1 << 20,
    prepare: Prepare | None = None,
    credentials: Mapping[str, str] | None = None,
    login: Sequence[bytes] = (),
    join: Join = join_bytes,
    ids: bool = True,
    own: Collection[str] = (),
) -> None:
    """
    Raise AssertionError, with a hexdump of the bytes in question, unless the codec and its sessions keep the contract.

    client, server: whole frames that a client, a server sends, one each item, every kind of message at least once; at
    least one request, whose profile the server's connections are opened with. prepare(session, side): brings a new
    session to where these frames make sense, for example by a login or by sending the requests that the server's frames
    answer; not needed by most. max_frame: bytes. credentials: what `open` is given, as `credentials:` of a cluster;
    login: the frames that a server sends in answer to what `open` then says, so that the session becomes ready.

    For protocols with streams, or without ids: join(head, chunks) gives the whole message that a head and its chunks
    mean, for a codec that gives either, as its reads are cut. ids: whether ids stand in the frames; False where a
    session with Correlation.ID counts exchanges by itself (HTTP/1.1). own: metadata that sessions make by themselves
    (X-Forwarded-For): they need not stay as a frame has them.

    It is seeded, so a failure comes back; it ends whatever the codec does, and takes some tenths of a second.
    """
    frames = {Side.CLIENT: list(client), Side.SERVER: list(server)}
    with Watchdog() as watchdog:
        bench = Bench(codec, frames, max_frame, prepare, credentials or {}, list(login), watchdog, join, ids, own)
        check_declaration(codec)
        check_single_frames(bench)
        check_costs(bench)
        check_sessions(bench)
        check_login(bench)
        check_holds(bench)
        check_send(bench)
        check_replies(bench)
        check_probe(bench)
        check_mutations(bench)
        check_splits(bench)
        check_bounds(bench)
        check_isolation(bench)
        check_cuts(bench)
        check_cutter(bench)
        check_damage(bench)
        check_growth(bench)
