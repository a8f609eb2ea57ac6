"""A registry without a plugin."""

from __future__ import annotations

import pytest

from metaproxy.config.schema.registry import NoPlugins
from metaproxy.interfaces import ICodec
from metaproxy.plugins import UnknownPlugin


def test_a_registry_without_a_plugin_knows_none_and_says_so() -> None:
    none = NoPlugins()
    assert (none.names(ICodec), none.origin(ICodec, "dubbo"), none.folders, none.errors) == ([], None, (), {})
    with pytest.raises(UnknownPlugin, match="no codec 'dubbo'"):
        none.factory(ICodec, "dubbo", {})
    with pytest.raises(UnknownPlugin, match="no codec 'dubbo'"):
        none.blame(ICodec, "dubbo", "it fails")
