"""Aeraki's descriptors in the tree are those that the .proto files beside them describe."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from metaproxy.envoy.message_types import message_class


def test_each_field_of_the_proto_files_is_in_the_descriptors() -> None:
    count = 0
    for path in sorted(Path(str(files("metaproxy.envoy.aeraki"))).rglob("*.proto")):
        text = path.read_text()
        package = re.search(r"^package ([\w.]+);", text, re.MULTILINE)
        assert package is not None
        for name in re.findall(r"^message (\w+) \{", text, re.MULTILINE):
            assert message_class(f"{package[1]}.{name}") is not None
            count += 1
        for field, number in re.findall(r"^  \w[\w. ]* (\w+) = (\d+)", text, re.MULTILINE):
            found = [
                kind.DESCRIPTOR.fields_by_name[field].number
                for name in re.findall(r"^message (\w+) \{", text, re.MULTILINE)
                if (kind := message_class(f"{package[1]}.{name}")) is not None
                and field in kind.DESCRIPTOR.fields_by_name
            ]
            assert int(number) in found, field
    assert count > 20
