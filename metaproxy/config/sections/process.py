"""
The keys of the process as a whole: its secrets, its admin API, its recordings, who it is, and what it may take.

Lives here: sections of `model`. Does not: reading secrets, and when the admin API needs tokens (`rules`).
"""

# ruff: noqa: RUF009 - `option` makes a dataclass field, as dataclasses.field does

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from metaproxy.config.schema.addresses import File, Listen
from metaproxy.config.schema.names import Hidden
from metaproxy.config.schema.numbers import Duration, Flag, Size
from metaproxy.config.schema.shape import MapOf, Nested, Section, Tree, option
from metaproxy.config.schema.texts import Text
from metaproxy.config.sections.transport import AdminTls
from metaproxy.units import Bytes, Seconds, Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretSource(Section):
    """
    A text that is never shown; `{secret: NAME}` stands for it in `credentials`, `tokens` and the options of plugins.
    """

    ONE_OF: ClassVar = ("file", "env", "value")

    file: Path | None = option(File(), "The file that holds it; a line break at its end is not part of it.", None)
    env: str | None = option(Text(), "The environment variable that holds it.", None)
    value: Secret | None = option(Hidden(by_name=False), "The text itself.", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens(Section):
    """Bearer tokens of the admin API."""

    read: Secret | None = option(Hidden(), "Allows whatever changes nothing.", None, "only `write` reads")
    write: Secret | None = option(Hidden(), "Allows everything.", None, "no one writes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Admin(Section):
    """The HTTP API for operators."""

    listen: str = option(Listen(), "Where it listens.", "127.0.0.1:9901")
    tls: AdminTls | None = option(Nested(AdminTls), "TLS.", None)
    tokens: Tokens | None = option(Nested(Tokens), "Who may ask what. Without them everybody may ask everything.", None)
    insecure: bool = option(Flag(), "Allow an address that others can reach, without tokens.", False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record(Section):
    """What may be recorded over the admin API: exchanges with their frames, to files of the proxy's machine."""

    folder: Path | None = option(
        File(), "Where the files are.", None, "a folder of the proxy's user in the one for temporary files"
    )
    max_bytes: Bytes = option(Size("64KiB", "1GiB"), "Of one file; a recording that asks for more is refused.", "64MiB")
    max_time: Seconds = option(Duration("1s"), "How long one may last.", "1h")


@dataclass(frozen=True, slots=True, kw_only=True)
class Node(Section):
    """Who this proxy is."""

    id: str = option(Text(empty=True), "Its own name.", "")
    cluster: str = option(Text(empty=True), "The service that it stands before.", "")
    zone: str = option(Text(empty=True), "Where it runs.", "")
    metadata: Mapping[str, object] = option(
        MapOf(Tree(), "KEY"), "Whatever else tells who it is; Istio's `NAME`, `LABELS` and the like.", {}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Overload(Section):
    """
    What the process may take. Beyond it refuses new connections, then requests, and for memory it closes the
    connections that hold the most.
    """

    max_memory: Bytes | None = option(
        Size("0B", "1024GiB"),
        "Memory that the process may have; 0 for no limit.",
        None,
        "75 % of what its cgroup allows, or of the machine's",
    )
    max_lag: Seconds = option(
        Duration(), "How long a socket with something to read may wait for its turn; 0 for no limit.", "0s"
    )
