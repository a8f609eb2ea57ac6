from __future__ import annotations

import socket
from pathlib import Path

from metaproxy.support.unix_files import remove_stale_socket


def test_only_a_socket_without_a_listener_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen()
        remove_stale_socket(str(path))
        assert path.exists()
    remove_stale_socket(str(path))
    assert not path.exists()
    path.write_text("a file")
    remove_stale_socket(str(tmp_path / "other"))
    assert path.exists()
