"""
Certificates for tests, made while they run.

Lives here: `Authority`, which signs them. Does not: assertions.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Issued(NamedTuple):
    """PEM files."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority in a folder; ca: its certificate, PEM."""

    def __init__(self, folder: Path, name: str = "test authority") -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._number = 0
        self.certificate = self._build(self._name, self._key.public_key(), [], 365, authority=True)
        self.ca = folder / f"{name.replace(' ', '-')}.pem"
        self.ca.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def issue(
        self, name: str, *names: str, uri: str = "", days: float = 30, file: str = "", unit: Sequence[str] = ()
    ) -> Issued:
        """
        A certificate for a common name and DNS names or IP addresses; file: the beginning of the files' names, which
        are written over; unit: the organization of the subject, and units of it.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives: list[Any] = [_alternative(one) for one in names]
        if uri:
            alternatives.insert(0, x509.UniformResourceIdentifier(uri))
        kinds = (NameOID.ORGANIZATION_NAME, *[NameOID.ORGANIZATIONAL_UNIT_NAME] * len(unit))
        above = [x509.NameAttribute(kind, value) for kind, value in zip(kinds, unit, strict=False)]
        subject = x509.Name([*above, x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._build(subject, key.public_key(), alternatives, days)
        self._number += 1
        start = file or f"{self._number}-{name.replace('*', 'any')}"
        issued = Issued(self.folder / f"{start}.pem", self.folder / f"{start}.key")
        issued.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        issued.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return issued

    def _build(self, subject: x509.Name, key: Any, names: list[Any], days: float, authority: bool = False) -> Any:
        now = datetime.now(UTC)
        end = now + timedelta(days=days)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(now, end) - timedelta(days=2))
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )
        if authority:
            usage = dict.fromkeys(
                ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
                 "decipher_only"), False
            )  # fmt: skip
            builder = builder.add_extension(
                x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, **usage), critical=True
            )
        else:
            identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
            builder = builder.add_extension(identifier, critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _alternative(name: str) -> Any:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
