"""
`python conf/certificates.py FOLDER`: an authority, and certificates for trying conf/tls.yaml. Not for production: the
authority's key is thrown away, and the certificates end after 30 days.

Writes ca.pem, proxy.pem and proxy.key (for localhost and 127.0.0.1), app.pem and app.key (spiffe://demo/app).
"""

import ipaddress
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NOW = datetime.now(UTC)


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def unsigned(name: str, issuer: str, key: ec.EllipticCurvePrivateKey, is_authority: bool) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder(named(issuer), named(name), key.public_key(), x509.random_serial_number())
        .not_valid_before(NOW - timedelta(minutes=5))
        .not_valid_after(NOW + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    authority = ec.generate_private_key(ec.SECP256R1())
    ca = unsigned("metaproxy demo authority", "metaproxy demo authority", authority, True).sign(
        authority, hashes.SHA256()
    )
    (folder / "ca.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    names = {
        "proxy": [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))],
        "app": [x509.UniformResourceIdentifier("spiffe://demo/app")],
    }
    for name, alternatives in names.items():
        key = ec.generate_private_key(ec.SECP256R1())
        builder = unsigned(name, "metaproxy demo authority", key, False)
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        certificate = builder.sign(authority, hashes.SHA256())
        (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        plain = serialization.NoEncryption()
        text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        path = folder / f"{name}.key"
        path.touch(mode=0o600)
        path.write_bytes(text)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python conf/certificates.py FOLDER")
    main(Path(sys.argv[1]))
