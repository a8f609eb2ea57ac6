"""check_codec names mistakes that were put into four codecs, and finds none in the codecs themselves."""

from __future__ import annotations

import pytest
from kit_mutants import FAMILIES, caught

from metaproxy.testing import check_codec


@pytest.mark.parametrize("name", FAMILIES)
def test_the_codec_itself_keeps_the_contract(name: str) -> None:
    family = FAMILIES[name]
    check_codec(family.codec(), family.client, family.server, **family.arguments)


@pytest.mark.parametrize(
    ("name", "mutant", "text"),
    [
        ("Parcel", "metadata are read in a loop without end", "did not come back: an endless loop"),
        ("Parcel", "heartbeats are answered under id 0", "its `answer` has id 0; it must be 9"),
        ("Parcel", "a byte of the body is another", "which is no length, count or checksum"),
        ("Parcel", "set before removed", "x-metaproxy-check was set to '3'"),
        ("Crate", "merged in the order of the endpoints", "answers go where `Part.place` says"),
        ("Crate", "a key lost by the split", "the parts of split() lack the keys"),
        ("Crate", "what is held is copied at each read", "each piece costs what is held"),
        ("Crate", "searched from the start at each read", "what is held is searched or copied at each read"),
        ("Quill", "max_frame is not allowed", "and max_frame=19 allows it"),
        ("Quill", "refused when it is whole", "refuse it on its head"),
        ("Quill", "state in the class", "its first 18 bytes set error"),
        ("Ledger", "a refused login waits", "a login was refused by an error, and `error` is not set"),
        ("Ledger", "the transaction never closes", "Hold.OPEN, but no frame"),
    ],
)
def test_a_mistake_is_named_with_what_to_mend(name: str, mutant: str, text: str) -> None:
    assert text in caught(FAMILIES[name], mutant)
