"""
The settings of the control plane's own process: `control.yaml`.

Lives here: `Settings`, reading it. Does not: what is served (`documents`).
"""

# ruff: noqa: RUF009 - `option` makes a dataclass field, as dataclasses.field does

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from metaproxy.config import model
from metaproxy.config.rules.addresses import is_local
from metaproxy.config.rules.every import RULES
from metaproxy.config.schema.addresses import File, Listen, Url
from metaproxy.config.schema.load import load
from metaproxy.config.schema.names import Hidden
from metaproxy.config.schema.nodes import ConfigErrors
from metaproxy.config.schema.numbers import Duration, Flag, Whole
from metaproxy.config.schema.reading import BROKEN, Broken, Enough, Reading
from metaproxy.config.schema.registry import NoPlugins
from metaproxy.config.schema.shape import ListOf, MapOf, Nested, Section, option
from metaproxy.config.schema.texts import Text
from metaproxy.units import Seconds, Secret

FILE = "control.yaml"
ADMIN = "127.0.0.1:9902"
"""Where the admin API is: beside that of a proxy on the same machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrape(Section):
    """How the error rates of proxies are asked for while a rollout is under way: at their admin API."""

    every: Seconds = option(Duration("1s", "10m"), "Time between two rounds.", "5s")
    timeout: Seconds = option(Duration("100ms", "1m"), "For one answer.", "2s")
    token: Secret | None = option(Hidden(), "Bearer token of the proxies' admin API, which reads.", None)
    anywhere: bool = option(
        Flag(), "Also ask at an address on another host than the one that the proxy's stream comes from.", False
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Etcd(Section):
    """Where documents are with `--config etcd`."""

    servers: Sequence[str] = option(ListOf(Url(), least=1), "Of one cluster, such as http://127.0.0.1:2379.")
    prefix: str = option(Text(), "What the keys of documents begin with.", "/metaproxy/")
    user: str = option(Text(empty=True), "Who logs in.", "", "no login")
    password: Secret | None = option(Hidden(), "The user's.", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubernetes(Section):
    """Where documents are with `--config kubernetes`."""

    kubeconfig: Path | None = option(File(), "Servers and credentials.", None, "those of the pod")
    context: str = option(Text(empty=True), "One of its contexts.", "", "its current one")
    namespace: str = option(Text(empty=True), "Where objects are read.", "", "all namespaces")
    selector: str = option(Text(), "Labels of the ConfigMaps that hold documents.", "metaproxy.io/control=true")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Section):
    """The process of a control plane."""

    # Secrets come first, as all that follows may need them.
    secrets: Mapping[str, model.SecretSource] = option(
        MapOf(Nested(model.SecretSource), defines="secret"), "Texts that are never shown.", {}
    )
    listen: str = option(Listen(), "Where proxies ask over gRPC.", "127.0.0.1:18000")
    rest: str | None = option(Listen(), "Where proxies ask over REST.", None, "no REST")
    tls: model.AdminTls | None = option(Nested(model.AdminTls), "TLS of both.", None)
    insecure: bool = option(Flag(), "Allow addresses that others can reach, without certificates of clients.", False)
    admin: model.Admin = option(Nested(model.Admin), "The HTTP API for operators.", {"listen": ADMIN})
    name: str = option(Text(empty=True), "This server's name in what it sends.", "", "the machine's")
    max_streams: int = option(Whole(1, 1_000_000), "Streams at a time; one more is refused.", 10_000)
    linger: Seconds = option(
        Duration("0s", "1h"), "Time that a proxy keeps what is gone after nothing there names it any more.", "2s"
    )
    scrape: Scrape = option(Nested(Scrape), "How error rates are asked for.", {})
    etcd: Etcd | None = option(Nested(Etcd), "With `--config etcd`.", None)
    kubernetes: Kubernetes = option(Nested(Kubernetes), "With `--config kubernetes`.", {})


def read_settings(text: str | bytes, file: str, environ: Mapping[str, str] | None = None) -> Settings:
    """Raises ConfigErrors with all that is wrong."""
    given = os.environ if environ is None else environ
    root, problems = load(text, file, given)
    settings: Settings | Broken = BROKEN
    if root is not None:
        reading = Reading(file, Path(file).absolute().parent, NoPlugins(), given, {}, RULES)
        try:
            settings = reading.read(Nested(Settings), root)
            reading.check_references({})
            if settings is not BROKEN:
                _must_be_safe(settings, reading)
                if not reading.gives(settings.admin, "listen"):
                    settings = replace(settings, admin=replace(settings.admin, listen=ADMIN))
        except Enough:
            pass
        problems = sorted({*problems, *reading.problems}, key=lambda one: (one.line, one.column, one.path))
    if problems or settings is BROKEN:
        raise ConfigErrors(problems)
    return settings


def _must_be_safe(settings: Settings, reading: Reading) -> None:
    """Refuse servers without certificates of clients where others can reach them: secrets are asked for there."""
    guarded = settings.tls is not None and settings.tls.client_ca is not None
    for key in ("listen", "rest"):
        where = getattr(settings, key)
        if where is None or guarded or settings.insecure or is_local(where):
            continue
        text = f"{where} can be reached by others; write `tls:` with `client_ca:`, or `insecure: true`"
        reading.problem(reading.at(settings, key), text)


def defaults(file: str) -> Settings:
    """Return the settings of a folder without a file of its own."""
    return read_settings(b"{}", file)
