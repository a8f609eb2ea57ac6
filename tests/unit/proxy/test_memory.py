from __future__ import annotations

import os
from pathlib import Path

import pytest
from harness import Stage, call

from metaproxy.proxy.memory import PER_EXCHANGE, available, give_back, held_by_client, resident

MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
V1, V2 = "sys/fs/cgroup/memory", "sys/fs/cgroup"


def files(root: Path, texts: dict[str, str]) -> Path:
    for name, text in texts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_the_resident_set_is_read_in_bytes() -> None:
    assert 1 << 20 < resident() < MACHINE
    give_back()


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ({}, MACHINE),
        ({"proc/self/cgroup": "0::/\n", f"{V2}/memory.max": "1048576\n"}, 1 << 20),
        ({"proc/self/cgroup": "0::/\n", f"{V2}/memory.max": "max\n"}, MACHINE),
        ({"proc/self/cgroup": "0::/a/b\n", f"{V2}/a/memory.max": "4096\n", f"{V2}/a/b/memory.max": "8192"}, 4096),
        ({"proc/self/cgroup": "0::/hidden\n", f"{V2}/memory.max": "4096\n"}, 4096),
        ({"proc/self/cgroup": "5:cpu,memory:/x\n0::/\n", f"{V1}/x/memory.limit_in_bytes": "4096"}, 4096),
        ({"proc/self/cgroup": "5:memory:/\n", f"{V1}/memory.limit_in_bytes": "9223372036854771712"}, MACHINE),
        ({"proc/self/cgroup": "5:cpu:/\n", f"{V2}/cpu/memory.max": "4096"}, MACHINE),
    ],
)  # fmt: skip
def test_the_smallest_limit_of_the_cgroups_counts_or_the_machines_memory(
    tmp_path: Path, texts: dict[str, str], expected: int
) -> None:
    assert available(files(tmp_path, texts)) == expected


def test_a_client_holds_its_unfinished_frame_its_unread_answers_and_its_requests_under_way() -> None:
    stage = Stage()
    client = stage.client()
    assert held_by_client(stage.downstream(client)) == 0
    whole, part = call(1), call(2, body=b"x" * 100)[:-1]
    stage.say(client, whole + part)
    client.buffered = 1000
    assert held_by_client(stage.downstream(client)) == PER_EXCHANGE + len(whole) + len(part) + 1000
