from __future__ import annotations

import ssl
import time
from pathlib import Path
from typing import Any

import pytest
from authority import Authority
from cryptography.hazmat.primitives import serialization

from metaproxy.proxy.certificates import CertificateError, Pair, client_context, read, server_context


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def refused(option: str, text: str, pair: Pair, **options: Any) -> None:
    with pytest.raises(CertificateError, match=text) as told:
        server_context([pair], **options)
    assert told.value.option == option


def test_files_that_can_not_be_used_are_told_by_option_and_reason(authority: Authority, tmp_path: Path) -> None:
    good, other = authority.issue("a", "a.example.org"), authority.issue("b", "b.example.org")
    nothing, garbage = tmp_path / "nothing.pem", tmp_path / "garbage.pem"
    garbage.write_text("hello")
    refused("certificate", "No such file", Pair(nothing, good.key))
    refused("key", "No such file", Pair(good.certificate, nothing))
    refused("certificate", "no certificate in PEM", Pair(garbage, good.key))
    refused("key", "no key in PEM", Pair(good.certificate, garbage))
    refused("key", "is not the key of", Pair(good.certificate, other.key))
    refused("client_ca", "no certificates in PEM", Pair(*good), client_ca=garbage)
    refused("client_ca", "No such file", Pair(*good), client_ca=nothing)
    refused("ciphers", "no cipher", Pair(*good), ciphers="NONSENSE")


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked_for_it(authority: Authority, tmp_path: Path) -> None:
    good = authority.issue("a", "a.example.org")
    key = serialization.load_pem_private_key(good.key.read_bytes(), None)
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
        )
    )
    refused("key", "write it without a passphrase", Pair(good.certificate, locked))


def test_a_certificate_tells_its_names_and_its_end(authority: Authority) -> None:
    told = read(authority.issue("a", "A.example.org", "*.b.example.org", "127.0.0.1", days=10).certificate)
    assert told.names == ("a.example.org", "*.b.example.org")
    assert 9.9 * 86400 < told.not_after - time.time() < 10.1 * 86400
    assert read(authority.issue("nameless").certificate).names == ()


def test_the_end_of_a_context_is_that_of_its_first_certificate_to_end(authority: Authority) -> None:
    long, short = authority.issue("a", "a.x", days=20), authority.issue("b", "b.x", days=3)
    _, ends = server_context([Pair(*long), Pair(*short)])
    assert ends == read(short.certificate).not_after


def test_old_versions_are_off(authority: Authority) -> None:
    context, _ = server_context([Pair(*authority.issue("a", "a.x"))])
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert client_context(authority.ca, min_version="1.3").minimum_version is ssl.TLSVersion.TLSv1_3


def test_servers_are_verified_unless_that_is_said() -> None:
    assert client_context().verify_mode is ssl.CERT_REQUIRED and client_context().check_hostname
    careless = client_context(verify=False)
    assert careless.verify_mode is ssl.CERT_NONE and not careless.check_hostname
