"""
Rules on TLS: certificates and keys can be used, and have not expired.

Lives here: `RULES`; `reports`, for sections whose contexts can't be made. Does not: making one (`config.tls`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from metaproxy.config import model
from metaproxy.config.rules.rule import Rules
from metaproxy.config.schema.nodes import Node
from metaproxy.config.schema.reading import Reading
from metaproxy.config.tls import CertificateError, client_tls, server_tls
from metaproxy.interfaces import ICodec
from metaproxy.proxy import certificates

T = TypeVar("T")

RULES = Rules()


def reports(reading: Reading, section: object, make: Callable[[], T]) -> T | None:
    """What `make` gives, or None with its CertificateError reported at the option that is at fault."""
    try:
        return make()
    except CertificateError as error:
        reading.problem(reading.at(section, error.option), str(error))
        return None


@RULES.of(model.ServerTls)
def _server_can_use_its_certificates(tls: model.ServerTls, reading: Reading) -> None:
    if reports(reading, tls, lambda: server_tls(tls)) is not None:
        own: list[model.ServerTls | model.Certificate] = [tls, *tls.certificates]
        for one in own:
            _tell_of_its_end(one.certificate, reading.at(one, "certificate"), reading)


@RULES.of(model.ClientTls)
def _client_can_use_its_certificates(tls: model.ClientTls, reading: Reading) -> None:
    if reports(reading, tls, lambda: client_tls(tls, 1.0)) is not None and tls.certificate is not None:
        _tell_of_its_end(tls.certificate, reading.at(tls, "certificate"), reading)
    if not tls.verify:
        reading.warn(reading.at(tls, "verify"), "servers are not verified: anybody on the way can be one")


def check_start(tls: model.ServerTls | model.ClientTls | None, codec: ICodec | None, reading: Reading) -> None:
    """Whether the protocol can begin TLS, where that is left to it."""
    if tls is not None and codec is not None and tls.start == "protocol" and not getattr(codec, "starts_tls", False):
        text = f"{codec.name} has no words that begin TLS; leave it out, so that connections begin with TLS"
        reading.problem(reading.at(tls, "start"), text)


def _tell_of_its_end(path: Path, place: Node, reading: Reading) -> None:
    if certificates.read(path).not_after < time.time():
        reading.warn(place, f"{path}: the certificate has expired")
