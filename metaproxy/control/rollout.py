"""
Which nodes get a new version when.

Lives here: `Rollout`. Does not: what may be written of one (`rollout_spec`), error rates (`watching`), what a version
holds (`content`).

Everything follows from what the source says and the time of day, so a server that was restarted and a second one both
say the same, and none keeps a state of its own. A share of the nodes is those whose hash is below it: who is in the
first share is in all later ones. That a rollout was ended is written to the source, in a file beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

from metaproxy.control.nodes import Node
from metaproxy.control.rollout_spec import ReturnedSpec, RolloutSpec, shown_moment

RETURNED = "rollout-returned.yaml"
"""The file beside a rollout that says that it was ended."""
FOREVER = float("inf")


class Stage(NamedTuple):
    """
    Where a rollout is. percent: of the nodes; step: its place in the list, -1 before the first; until: when it ends.
    """

    percent: float
    step: int
    until: float


@dataclass(frozen=True, slots=True)
class Rollout:
    """path: of its document; group: of the nodes that it is for, "" for all; returned: that it was ended."""

    path: str
    group: str
    spec: RolloutSpec
    returned: ReturnedSpec | None = None

    def stage(self, now: float) -> Stage:
        """Return where it is at a time. Behind the last step it is complete."""
        spec = self.spec
        if spec.start is None:
            return Stage(100.0, len(spec.steps), FOREVER)
        if now < spec.start:
            return Stage(0.0, -1, spec.start)
        ends = spec.start
        for place, step in enumerate(spec.steps):
            ends += step.hold
            if now < ends:
                return Stage(step.percent, place, ends)
        return Stage(100.0, len(spec.steps), FOREVER)

    def under_way(self, now: float) -> bool:
        """Whether some nodes have the new version and others have not, or the last hold has not ended."""
        return self.returned is None and 0 <= self.stage(now).step < len(self.spec.steps)

    def version(self, node: Node, now: float) -> str:
        """Return the version that a node is to have."""
        if self.returned is not None:
            return self.spec.before
        stage = self.stage(now)
        if stage.step < 0:
            return self.spec.before
        chosen = stage.percent >= 100 or self._is_first(node) or self._place(node) < stage.percent
        return self.spec.version if chosen else self.spec.before

    def _is_first(self, node: Node) -> bool:
        return bool(self.spec.first) and all(str(node.metadata.get(key)) == one for key, one in self.spec.first.items())

    def _place(self, node: Node) -> float:
        """Return where the node stands between 0 and 100; another place in each rollout."""
        key = f"{self.spec.version}\0{self.spec.start}\0{node.id}".encode("utf-8", "surrogateescape")
        return int.from_bytes(blake2b(key, digest_size=8).digest(), "big") / 2**64 * 100

    def returned_path(self) -> str:
        return f"{self.path.rpartition('/')[0]}/{RETURNED}".lstrip("/")

    def returned_text(self, now: float, reason: str) -> bytes:
        """Return what to write to `returned_path` to end it."""
        lines = [
            "# Written by metaproxy-control. Remove it, or begin another rollout, to try again.",
            "returned:",
            f"  version: {_quoted(self.spec.version)}",
            *([] if self.spec.start is None else [f"  start: {shown_moment(self.spec.start)}"]),
            f"  at: {shown_moment(now)}",
            f"  reason: {_quoted(reason)}",
        ]
        return ("\n".join(lines) + "\n").encode()


def _quoted(text: str) -> str:
    kept = "".join(one if one.isprintable() else " " for one in text)
    return "'" + kept.replace("'", "''") + "'"
