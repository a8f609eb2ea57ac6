"""Subjects of certificates as one text, as RFC 2253 and OpenSSL write them."""

from __future__ import annotations

import pytest

from metaproxy.proxy.distinguished_names import distinguished_name

Subject = tuple[tuple[tuple[str, str], ...], ...]


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        ((), ""),
        (((("commonName", "app"),),), "CN=app"),
        (
            ((("organizationName", "Shop"),), (("organizationalUnitName", "a"),), (("commonName", "app"),)),
            "CN=app,OU=a,O=Shop",
        ),
        (((("organizationalUnitName", "a"),), (("organizationalUnitName", "b"),)), "OU=b,OU=a"),
        (((("commonName", "app"), ("userId", "7")),), "CN=app+UID=7"),
        (((("dnQualifier", "x"),),), "dnQualifier=x"),
    ],
)
def test_the_last_part_comes_first_with_short_names(subject: Subject, text: str) -> None:
    assert distinguished_name(subject) == text


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("a,OU=b", r"a\,OU=b"),
        ('b,+ "é"', r"b\,\+ \"\C3\A9\""),  # as mongod 6.0 writes it
        ("#a#", r"\#a#"),
        (" a b ", r"\ a b\ "),
        ("a\\b<c>;", r"a\\b\<c\>\;"),
        ("a\nb", r"a\0Ab"),
    ],
)
def test_no_value_can_pass_for_more_than_one(value: str, written: str) -> None:
    assert distinguished_name(((("commonName", value),),)) == f"CN={written}"
