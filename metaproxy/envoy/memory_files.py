"""
Bytes that stand in a message, or that a control plane sends, as files that never touch a disk.

Certificates and keys are files to us and to OpenSSL, and are read again when they change. Those of SDS, and those that
stand in a message, become files in memory: `/proc/self/fd/N`, readable by this process alone.

Lives here: `MemoryFiles`, and the one of this process, `FILES`. Does not: what is in them.
"""

from __future__ import annotations

import hashlib
import os

MOST = 10_000
"""Files at a time; each is a descriptor."""
FOLDER = "/proc/self/fd/"


class MemoryFiles:
    """Files in memory, by name. They last as long as this object."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[int, bytes]] = {}

    def put(self, name: str, data: bytes) -> str:
        """
        The path of the file of a name, which has these bytes from now on. A change keeps the path, so that it is found
        as that of any file is. Raises OSError.
        """
        known = self._files.get(name)
        if known is not None and known[1] == data:
            return f"{FOLDER}{known[0]}"
        if known is None and len(self._files) >= MOST:
            raise OSError(f"more than {MOST} certificates and keys in memory")
        made = os.memfd_create("metaproxy", os.MFD_CLOEXEC)
        os.fchmod(made, 0o600)
        with open(os.dup(made), "wb") as file:
            file.write(data)
        if known is None:
            number = made
        else:
            number = known[0]
            os.dup2(made, number, inheritable=False)  # at once: half a key is never read
            os.close(made)
        self._files[name] = number, data
        return f"{FOLDER}{number}"

    def put_unnamed(self, data: bytes) -> str:
        """The path of a file with these bytes: the same for the same bytes."""
        return self.put(hashlib.sha256(data).hexdigest(), data)

    def close(self) -> None:
        """Close all of them."""
        files, self._files = self._files, {}
        for number, _ in files.values():
            os.close(number)


FILES = MemoryFiles()
"""Those of this process."""
