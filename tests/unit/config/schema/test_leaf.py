"""What all kinds of single values have in common."""

from __future__ import annotations

import pytest

from metaproxy.config.schema.leaf import entries, scalar, shown, text
from metaproxy.config.schema.nodes import Node
from metaproxy.config.schema.numbers import Duration, Size, Whole


def test_a_default_is_read_as_a_configuration_would_be() -> None:
    assert Duration().default("5m") == 300.0
    assert Size("1B", "1GiB").default("16MiB") == 16 << 20
    assert Whole().default(7) == 7
    with pytest.raises(ValueError, match="6 is out of bounds"):
        Whole(1, 5).default(6)


def test_a_value_in_an_error_is_short_and_as_it_was_written() -> None:
    texts = [shown(Node(value, 1, 1, text=written)) for value, written in (([], ""), ({}, ""), (None, ""), (7, "7"))]
    assert [*texts, shown(Node("a", 1, 1, text="a"))] == ["a list", "a mapping", "nothing", "7", "'a'"]


def test_what_a_variable_stands_for_is_a_text_and_a_scalar() -> None:
    node = Node("7", 1, 1, text="7", filled=True)
    assert (text(node), scalar(node)) == ("7", 7)
    assert scalar(Node("7", 1, 1, text="7")) == "7"


def test_only_a_mapping_has_entries() -> None:
    child = Node(1, 1, 1)
    assert entries(Node({"a": child}, 1, 1), "a mapping") == {"a": child}
    with pytest.raises(ValueError, match="nothing is not a mapping with a"):
        entries(Node(None, 1, 1), "a mapping with a")
