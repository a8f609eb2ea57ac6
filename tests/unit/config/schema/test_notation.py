"""Each kind of single value: what it takes, and what it says of the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from metaproxy.config.schema.load import Node, load
from metaproxy.config.schema.notation import (
    Address,
    Choice,
    Condition,
    Decimal,
    Duration,
    File,
    Flag,
    Hex,
    Hidden,
    Listen,
    Name,
    Reference,
    Regex,
    Share,
    Size,
    Span,
    Text,
    UrlPath,
    Value,
    Whole,
    WorkerCount,
)
from metaproxy.config.schema.reading import BROKEN, Kind, Reading, Secret  # type: ignore[attr-defined]
from metaproxy.plugins import Registry

REGISTRY = Registry()


def outcome(kind: Kind[Any], text: str) -> tuple[object, list[str]]:
    """The value of `key: TEXT`, and what is wrong with it."""
    root, problems = load(f"key: {text}", "x.yaml", {"N": "7", "T": "5s", "E": ""})
    assert problems == [] and root is not None and isinstance(root.value, dict)
    reading = Reading("x.yaml", Path("/etc/metaproxy"), REGISTRY, {}, {}, {})
    reading.define("secret", "known", Node(None, 1, 1))
    reading.define("secret", "broken", Node(None, 1, 1))
    reading.secrets["known"] = Secret("hunter2")
    value = reading.read(kind, root.value["key"])
    reading.check_references()
    return value, [problem.text for problem in reading.problems]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Text(), "say", "say"),
        (Text(), "'7'", "7"),
        (Text(), "007", "007"),
        (Text(), "${N}", "7"),
        (Text(empty=True), "''", ""),
        (Text(3), "äb", "äb"),
        (Value(), "1.10", "1.10"),
        (Value(), "true", "true"),
        (Value(), "''", ""),
        (Value(), "${E}", ""),
        (Flag(), "true", True),
        (Flag(), "no", False),
        (Flag(), "'on'", True),
        (Whole(), "0", 0),
        (Whole(1, 5), "5", 5),
        (Whole(), "${N}", 7),
        (Whole(), "'${N}'", 7),
        (Duration(), "250ms", 0.25),
        (Duration(), "5m", 300.0),
        (Duration(), "2", 2.0),
        (Duration(), "'${T}'", 5.0),
        (Duration(), "${N}", 7.0),
        (Size("1B", "1GiB"), "64KiB", 65536),
        (Size("1B", "1GiB"), "100", 100),
        (Share(), "0.5", 0.5),
        (Share(), "100", 100.0),
        (Choice("a", "b"), "b", "b"),
        (WorkerCount(), "1", 1),
        (Span(), "25ms..250ms", (0.025, 0.25)),
        (Span(), "1s", (1.0, 1.0)),
        (Address(), "127.0.0.1:0", "127.0.0.1:0"),
        (Address(), "'[::1]:80'", "[::1]:80"),
        (Address(), "demo.svc_1.cluster.local:65535", "demo.svc_1.cluster.local:65535"),
        (Address(), "unix:/run/x.sock", "unix:/run/x.sock"),
        (Listen(), "localhost:80", "localhost:80"),
        (Name(), "outbound|20880||demo", "outbound|20880||demo"),
        (File(), "a/b.txt", Path("/etc/metaproxy/a/b.txt")),
        (File(), "/dev/stdout", Path("/dev/stdout")),
        (Hidden(), "abc", Secret("abc")),
        (Hidden(), "{secret: known}", Secret("hunter2")),
        (Condition(), "say", "say"),
        (Condition(), "1.10", "1.10"),
        (Condition(), "7", 7),
        (Condition(), "{in: [1.10, b]}", {"in": ["1.10", "b"]}),
        (Condition(), "{present: true, not: false}", {"present": True, "not": False}),
    ],
)
def test_what_is_right_is_read(kind: Kind[object], text: str, value: object) -> None:
    read, problems = outcome(kind, text)
    assert problems == []
    assert read == value
    assert type(read) is type(value) or isinstance(value, Path)


ADDRESS = "is not an address; write host:port, [v6]:port or unix:/path"


@pytest.mark.parametrize(
    ("kind", "text", "problem"),
    [
        (Text(), "7", "7 is not a text; write '7' in quotes"),
        (Text(), "true", "true is not a text; write 'true' in quotes"),
        (Text(), "", "nothing is not a text"),
        (Text(), "[a]", "a list is not a text"),
        (Text(), "{a: b}", "a mapping is not a text"),
        (Text(), "''", "an empty text"),
        (Text(), "${E}", "an empty text"),
        (Text(3), "äbc", "a text of 4 bytes; allowed are 3"),
        (Value(), "", "nothing is not a text"),
        (Value(), "[a]", "a list is not a text"),
        (Flag(), "1", "1 is neither true nor false"),
        (Flag(), "yess", "'yess' is neither true nor false"),
        (Flag(), "", "nothing is neither true nor false"),
        (Whole(), "1.5", "1.5 is not a whole number"),
        (Whole(), "true", "true is not a whole number"),
        (Whole(), "'5'", "'5' is not a whole number"),
        (Whole(), "[5]", "a list where a single value belongs"),
        (Whole(1, 5), "6", "6 is out of bounds; allowed are 1 to 5"),
        (Whole(), "-1", "-1 is out of bounds; allowed are 0 to 2147483647"),
        (Duration(), "15 s", "'15 s' is not a duration; write 15s, 500ms, 5m or a number of seconds"),
        (Duration(), "-1", "-1 is not a duration; write 15s, 500ms, 5m or a number of seconds"),
        (Duration(), "366d", "366d is out of bounds; allowed are 0s to 365d"),
        (Duration("1ms"), "0", "0 is out of bounds; allowed are 1ms to 365d"),
        (Duration(), f"{'9' * 400}s", f"{'9' * 400}s is out of bounds; allowed are 0s to 365d"),
        (Size("1B", "1GiB"), "2GiB", "2GiB is out of bounds; allowed are 1B to 1GiB"),
        (Size("1B", "1GiB"), "16 MB", "'16 MB' is not a size; write 64KiB, 16MiB or a number of bytes"),
        (Size("1B", "1GiB"), "1.5", "1.5 is not a size; write 64KiB, 16MiB or a number of bytes"),
        (Share(), "101", "101 is not a percentage; write a number from 0 to 100, such as 25 or 0.5"),
        (Share(), "50%", "'50%' is not a percentage; write a number from 0 to 100, such as 25 or 0.5"),
        (Choice("pool", "pinned"), "pol", "'pol' is not known here; did you mean 'pool'?"),
        (Choice("pool", "pinned"), "x", "'x' is not known here; there is pinned, pool"),
        (Span(), "1s..25ms", "'1s..25ms' is no range of durations; write 25ms..250ms"),
        (Span(), "soon", "'soon' is no range of durations; write 25ms..250ms"),
        (WorkerCount(), "4", "4: more than one process is not supported yet in this version; write 1"),
        (WorkerCount(), "auto", "'auto': more than one process is not supported yet in this version; write 1"),
        (Address(), "20880", f"'20880' {ADDRESS}"),
        (Address(), "':80'", f"':80' {ADDRESS}"),
        (Address(), "'::1:80'", f"'::1:80' {ADDRESS}"),
        (Address(), "'[127.0.0.1]:80'", f"'[127.0.0.1]:80' {ADDRESS}"),
        (Address(), "10.0.0.256:80", f"'10.0.0.256:80' {ADDRESS}"),
        (Address(), "a b:80", f"'a b:80' {ADDRESS}"),
        (Address(), "a:65536", f"'a:65536' {ADDRESS}"),
        (Address(), "'*:80'", f"'*:80' {ADDRESS}"),
        (Address(1), "a:0", f"'a:0' {ADDRESS}"),
        (Address(), "unix:x", "'unix:x' is not the whole path of a socket, of 107 bytes at most; write unix:/path"),
        (Name(), "7", "7 is not a text; write '7' in quotes"),
        (Name(), "' a'", "' a' is not a name; write 1 to 256 printable characters"),
        (Name(), '"a\\nb"', "'a\\nb' is not a name; write 1 to 256 printable characters"),
        (Name(), "x" * 257, f"'{'x' * 257}' is not a name; write 1 to 256 printable characters"),
        (Reference("cluster"), "demo", "no cluster 'demo'; no cluster is defined"),
        (File(), "''", "'' is not a path"),
        (File(), '"a\\0b"', "'a\\x00b' is not a path"),
        (File(), "x" * 300, f"'{'x' * 300}' is not a path"),
        (Hidden(), "7", "7 is not a text; write '7' in quotes"),
        (Hidden(), "{secret: knwon}", "no secret 'knwon'; did you mean 'known'?"),
        (Hidden(), "{secrte: known}", "a mapping is not a text"),
        (Hidden(by_name=False), "{secret: known}", "a mapping is not a text"),
        (Condition(), "{prefx: a}", "no matcher 'prefx'; did you mean 'prefix'?"),
    ],
)
def test_what_is_wrong_says_what_to_write(kind: Kind[object], text: str, problem: str) -> None:
    value, problems = outcome(kind, text)
    assert problems == [problem]
    assert value is BROKEN or isinstance(kind, Reference)


def test_a_secret_that_could_not_be_read_is_not_told_of_again() -> None:
    assert outcome(Hidden(), "{secret: broken}") == (BROKEN, [])


def test_a_size_that_no_number_holds_is_a_problem_and_no_crash() -> None:
    value, problems = outcome(Size("1B", "1GiB"), f"{'9' * 400}GiB")
    assert value is BROKEN and len(problems) == 1


def test_a_default_is_read_as_a_configuration_would_be() -> None:
    assert Duration().default("5m") == 300.0
    assert Size("1B", "1GiB").default("16MiB") == 16 << 20
    assert Whole().default(7) == 7
    with pytest.raises(ValueError):
        Whole(1, 5).default(6)


@pytest.mark.parametrize(("text", "value"), [("50 49", b"PI"), ("0D0a", b"\r\n"), ("''", b"")])
def test_bytes_are_written_in_hexadecimal(text: str, value: bytes) -> None:
    assert outcome(Hex(), text) == (value, [])


def test_what_is_no_hexadecimal_regex_or_path_is_told() -> None:
    assert "is not hexadecimal; write two digits a byte" in outcome(Hex(), "0x5")[1][0]
    assert "is not a regular expression: " in outcome(Regex(), '"(PONG"')[1][0]
    assert "no byte" in outcome(Regex(), "\u20ac")[1][0]
    assert "is not a path" in outcome(UrlPath(), "health")[1][0]
    assert "is not a path" in outcome(UrlPath(), '"/he alth"')[1][0]
    assert "is not a number from 0" in outcome(Decimal(), "-1")[1][0]


def test_a_decimal_is_a_number() -> None:
    assert outcome(Decimal(), "1.9") == (1.9, [])
    assert outcome(Decimal(), "2") == (2.0, [])
