"""
TLS of the gRPC server, with files that are read again when they change.

Lives here: `server_credentials`. Does not: TLS of HTTP ports (`config.tls`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import grpc
from twisted.logger import Logger

from metaproxy.config.model import AdminTls

log = Logger()


def server_credentials(tls: AdminTls) -> grpc.ServerCredentials:
    """Raises OSError when a file can't be read."""
    files = _Files([one for one in (tls.certificate, tls.key, tls.client_ca) if one is not None])
    return grpc.dynamic_ssl_server_credentials(
        _configuration(files.read()), files.fetch, require_client_authentication=tls.client_ca is not None
    )


def _configuration(texts: Sequence[bytes]) -> grpc.ServerCertificateConfiguration:
    certificate, key, *ca = texts
    return grpc.ssl_server_certificate_configuration([(key, certificate)], ca[0] if ca else None)


class _Files:
    """Reads the files when one of them has changed; gRPC asks with each handshake, in a thread of its own."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files
        self._stamps = self._stamp()

    def read(self) -> list[bytes]:
        return [file.read_bytes() for file in self._files]

    def fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """Return what is new; None for nothing, and for files that can't be read now."""
        try:
            stamps = self._stamp()
            if stamps == self._stamps:
                return None
            found = _configuration(self.read())
        except OSError as error:
            log.error("TLS: {error}; the certificate before stays in use", error=error)
            return None
        self._stamps = stamps
        return found

    def _stamp(self) -> list[tuple[int, int, int]]:
        return [(one.st_mtime_ns, one.st_size, one.st_ino) for one in map(Path.stat, self._files)]
