"""
The subject of a certificate as one text, in the form of RFC 2253: the last part first, `CN=app,OU=shop,O=Example`.

Lives here: `distinguished_name`. Does not: which certificates are believed (`tls`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

_SHORT: Final = {
    "commonName": "CN", "countryName": "C", "domainComponent": "DC", "givenName": "GN", "localityName": "L",
    "organizationName": "O", "organizationalUnitName": "OU", "stateOrProvinceName": "ST", "streetAddress": "street",
    "surname": "SN", "userId": "UID",
}  # fmt: skip
"""What OpenSSL writes for the names that Python gives; others are written as they are."""
_SPECIAL: Final = frozenset(',+"\\<>;')


def distinguished_name(subject: object) -> str:
    """subject: as `getpeercert` gives it: parts, each of one name and value or more of them."""
    parts = subject if isinstance(subject, tuple) else ()
    return ",".join("+".join(_pairs(part)) for part in reversed(parts))


def _pairs(part: object) -> Iterator[str]:
    for pair in part if isinstance(part, tuple) else ():
        name, value = pair
        yield f"{_SHORT.get(name, name)}={_escaped(value)}"


def _escaped(value: str) -> str:
    last = len(value) - 1
    return "".join(
        f"\\{one}"
        if one in _SPECIAL or (one == " " and at in (0, last)) or (one == "#" and at == 0)
        else one
        if " " <= one <= "~"
        else "".join(f"\\{byte:02X}" for byte in one.encode("utf-8", "surrogateescape"))
        for at, one in enumerate(value)
    )
