"""
The process of a control plane: its settings, its source, its servers.

Lives here: `make_services`, `check`. Does not: options of the command line (`tap`).
"""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

from twisted.application.service import MultiService, Service
from twisted.internet.task import Clock

from metaproxy.admin.guard import Guard
from metaproxy.admin.http_server import HttpServer
from metaproxy.admin.resource import Root
from metaproxy.admin.roles import IReactor
from metaproxy.clients.http import HttpCalls
from metaproxy.config.schema.load import read
from metaproxy.config.schema.nodes import ConfigErrors, Problem
from metaproxy.config.tls import AdminContexts, CertificateError, admin_options
from metaproxy.control.admin.service import endpoints
from metaproxy.control.documents import read_document
from metaproxy.control.fleet import Fleet
from metaproxy.control.plan import Plan
from metaproxy.control.plane import Plane
from metaproxy.control.polling import Polls
from metaproxy.control.rest import Rest
from metaproxy.control.server import Control
from metaproxy.control.settings import FILE, Settings, read_settings
from metaproxy.control.sources.folder import Folder
from metaproxy.control.sources.roles import Source, Texts
from metaproxy.control.watching import Watching
from metaproxy.support import addresses

if TYPE_CHECKING:
    from metaproxy.config.model import AdminTls


def settings_of(config: str, file: str) -> Settings:
    """
    Return the settings of a process. config: as on the command line; file: of the settings, "" for the folder's own.
    Raises ConfigErrors.
    """
    own = Path(config) / FILE
    if not file and not own.is_file():
        return read_settings(b"{}", FILE)
    path = file or str(own)
    try:
        text = read(path)
    except OSError as error:
        raise ConfigErrors([Problem(path, 1, 1, "", str(error.strerror))]) from error
    return read_settings(text, path)


def source_of(config: str, settings: Settings, reactor: IReactor) -> Source:
    """Raises ConfigErrors."""
    if config == "etcd":
        return _etcd(settings, reactor)
    if config == "kubernetes":
        return _kubernetes(settings, reactor)
    if not Path(config).is_dir():
        text = "no such folder; write a folder, `etcd` or `kubernetes`"
        raise ConfigErrors([Problem(config, 1, 1, "", text)])
    return Folder(config, reactor, skipped=(FILE,))


def _etcd(settings: Settings, reactor: IReactor) -> Source:
    from metaproxy.control.sources.etcd import Etcd
    from metaproxy.discovery.etcd_api import Api
    from metaproxy.discovery.http_registry import Servers

    etcd = settings.etcd
    if etcd is None:
        text = "write `etcd: {servers: [http://127.0.0.1:2379]}` in the file of --settings"
        raise ConfigErrors([Problem(FILE, 1, 1, "etcd", text)])
    servers = Servers("etcd", tuple(one.rstrip("/") for one in etcd.servers), HttpCalls(reactor))
    return Etcd(Api(reactor, servers, etcd.user, str(etcd.password or "")), etcd.prefix, reactor)


def _kubernetes(settings: Settings, reactor: IReactor) -> Source:
    from metaproxy.control.sources.kubernetes import Kubernetes
    from metaproxy.kubernetes.api import Api
    from metaproxy.kubernetes.credentials import source

    own = settings.kubernetes
    credentials = source(str(own.kubeconfig) if own.kubeconfig is not None else "", own.context)
    return Kubernetes(Api(credentials, reactor), reactor, own.namespace, own.selector)


def make_services(config: str, file: str = "") -> MultiService:
    """Make all that `twistd metaproxy-control` runs. Raises ConfigErrors, or OSError for an address that is taken."""
    from twisted.internet import reactor

    clock = cast(IReactor, reactor)
    settings = settings_of(config, file)
    for key, where_to in (
        ("listen", settings.listen),
        ("rest", settings.rest),
        ("admin.listen", settings.admin.listen),
    ):
        if where_to is not None:
            addresses.must_be_free(key, where_to)
    fleet = Fleet(clock)
    name = settings.name or socket.gethostname()
    control = Control(clock, fleet, name, settings.max_streams, settings.linger)
    plane = Plane(source_of(config, settings, clock), control, clock)
    services = MultiService()
    plane.setServiceParent(services)
    _grpc(control, clock, settings).setServiceParent(services)
    tls = _contexts(settings.tls)
    if settings.rest is not None:
        rest = Rest(Polls(control, fleet))
        HttpServer("xDS over REST", rest, settings.rest, clock, tls).setServiceParent(services)
    admin = settings.admin
    where = addresses.parse(admin.listen)
    guard = Guard(admin.tokens, () if where.literal else (where.host,))
    rates = Watching(fleet, plane, settings.scrape, clock)
    rates.setServiceParent(services)
    root = Root(endpoints(control, fleet, plane, rates, clock), guard, clock)
    HttpServer("admin API", root, admin.listen, clock, _contexts(admin.tls)).setServiceParent(services)
    return services


def _grpc(control: Control, reactor: IReactor, settings: Settings) -> Service:
    from metaproxy.control.certificates import server_credentials
    from metaproxy.control.grpc_server import GrpcServer

    credentials = server_credentials(settings.tls) if settings.tls is not None else None
    return GrpcServer(control, reactor, settings.listen, credentials)


def _contexts(tls: AdminTls | None) -> AdminContexts | None:
    """Raises ConfigErrors."""
    try:
        return AdminContexts(admin_options(tls)) if tls is not None else None
    except CertificateError as error:
        raise ConfigErrors([Problem(FILE, 1, 1, "tls", str(error))]) from None


class _Found:
    """A receiver that keeps what a source has."""

    def __init__(self) -> None:
        self.texts: dict[str, bytes] = {}
        self.reason = ""

    def update(self, texts: Texts) -> None:
        self.texts |= {path: text for path, text in texts.items() if text is not None}

    def failed(self, reason: str) -> None:
        self.reason = reason


def check(config: str, file: str = "") -> str:
    """Return a report of a folder that is right, with its warnings. Raises ConfigErrors with all that is wrong."""
    settings_of(config, file)
    if not Path(config).is_dir():
        raise ConfigErrors([Problem(config, 1, 1, "", "no such folder; write the folder to check")])
    found = _Found()
    Folder(config, Clock(), skipped=(FILE,)).start(found)
    if found.reason:
        raise ConfigErrors([Problem(config, 1, 1, "", found.reason)])
    documents = {path: read_document(path, text) for path, text in found.texts.items()}
    plan = Plan(documents, time.time)
    if plan.problems:
        raise ConfigErrors(plan.problems)
    warnings = "".join(f"warning: {line}\n" for one in documents.values() for line in one.warnings)
    files = "1 file" if len(documents) == 1 else f"{len(documents)} files"
    return f"{warnings}{config}: {files}; nothing is wrong\n"
