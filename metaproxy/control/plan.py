"""
Which snapshot each node is to have now: its version by the rollouts, its group by its cluster.

Lives here: `Plan`, made of all documents of a source. Does not: rollouts themselves (`rollout`), snapshots (`content`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from metaproxy.config.schema.nodes import Problem
from metaproxy.control.content import Content, scope_of
from metaproxy.control.documents import Document
from metaproxy.control.nodes import Node
from metaproxy.control.rollout import RETURNED, Rollout
from metaproxy.control.rollout_spec import ReturnedSpec, RolloutSpec, read_returned, read_rollout
from metaproxy.control.snapshot import Snapshot


class Plan:
    """
    documents: by path. wall: the time of day, seconds since 1970. before: the plan that was in force. problems: why
    this one can't be; [] when it can. rollouts: by the group that they are for, "" for all. strict, changed: see
    Content. of_rollouts: paths of the documents that say something of these.
    """

    def __init__(
        self,
        documents: Mapping[str, Document],
        wall: Callable[[], float],
        before: Plan | None = None,
        strict: bool = True,
        changed: Collection[str] | None = None,
    ) -> None:
        known = before.content if before is not None else None
        self.content: Content = Content(documents, known, strict, changed)
        self.problems = list(self.content.problems)
        self.rollouts: dict[str, Rollout] = {}
        self._wall = wall
        specs: dict[str, tuple[str, RolloutSpec]] = {}
        returned: dict[str, ReturnedSpec] = {}
        known_rollouts = before.of_rollouts if before is not None else set()
        looked = documents.keys() if changed is None else {*changed, *known_rollouts}
        self.of_rollouts: set[str] = {path for path in looked if path in documents and _is_of_rollouts(documents[path])}
        for path in sorted(self.of_rollouts):
            self._note(path, documents[path], specs, returned)
        for group, (path, spec) in specs.items():
            end = returned.get(f"{path.rpartition('/')[0]}/{RETURNED}".lstrip("/"))
            ended = end if end is not None and (end.version, end.start) == (spec.version, spec.start) else None
            self.rollouts[group] = Rollout(path, group, spec, ended)

    def _note(
        self,
        path: str,
        document: Document,
        specs: dict[str, tuple[str, RolloutSpec]],
        returned: dict[str, ReturnedSpec],
    ) -> None:
        if document.rollout is not None:
            scope = scope_of(path)
            spec, problems = read_rollout(path, document.rollout, self.content.versions)
            self.problems += problems
            if scope.version:
                self.problems.append(
                    Problem(path, 1, 1, "rollout", "stands within a version; put it outside versions/")
                )
            elif scope.group in specs:
                text = f"a second rollout for the same nodes; the first one is in {specs[scope.group][0]}"
                self.problems.append(Problem(path, 1, 1, "rollout", text))
            elif spec is not None:
                specs[scope.group] = path, spec
        if document.returned is not None:
            end, problems = read_returned(path, document.returned)
            self.problems += problems
            if end is not None:
                returned[path] = end

    def rollout(self, node: Node) -> Rollout | None:
        """Return the rollout that a node takes part in."""
        return self.rollouts.get(node.cluster) or self.rollouts.get("")

    def version(self, node: Node) -> str:
        """Return the version that a node is to have; "" where there are none."""
        rollout = self.rollout(node)
        return rollout.version(node, self._wall()) if rollout is not None else ""

    def target(self, node: Node) -> Snapshot:
        return self.content.snapshot(self.version(node), node)

    def before(self, node: Node) -> Snapshot | None:
        """Return what a node had before its rollout; None without one."""
        rollout = self.rollout(node)
        return self.content.snapshot(rollout.spec.before, node) if rollout is not None else None

    def next_change(self) -> float:
        """Return the time of day at which a rollout goes on."""
        now = self._wall()
        return min(
            (one.stage(now).until for one in self.rollouts.values() if one.returned is None), default=float("inf")
        )


def _is_of_rollouts(document: Document) -> bool:
    return document.rollout is not None or document.returned is not None
