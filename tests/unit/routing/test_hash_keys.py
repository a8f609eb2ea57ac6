from __future__ import annotations

from metaproxy.routing.hash_keys import ConnectionKeys, hash_keys


def test_metadata_keys_are_a_plain_tuple_under_the_names_that_the_codec_hashes() -> None:
    assert hash_keys(["user", "key"], {"key": "tag"}) == ("user", "tag")
    assert type(hash_keys(["user"], {})) is tuple


def test_a_fact_of_the_connection_is_taken_from_it_and_never_from_metadata() -> None:
    keys = hash_keys(["source.address", "user"], {})
    assert isinstance(keys, ConnectionKeys)
    metadata = {"source.address": "forged", "user": "anna"}
    assert keys.values(metadata.get, {"source.address": "10.0.0.1"}) == ["10.0.0.1", "anna"]
    assert keys.values(metadata.get, {}) == [None, "anna"]
