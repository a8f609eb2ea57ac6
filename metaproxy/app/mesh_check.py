"""
Whether the objects in a folder are right, before a proxy runs on them.

Lives here: `check_objects`. Does not: the configuration that names the folder (`config.check`).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from metaproxy.config import model
from metaproxy.config.schema.nodes import Problem
from metaproxy.mesh.folder import Folder
from metaproxy.mesh.generator.generator import Generator
from metaproxy.mesh.generator.node import node_of
from metaproxy.mesh.store import Store


def check_objects(folder: Path, crds: model.Crds, node: model.Node) -> tuple[list[Problem], list[str]]:
    """Return what is wrong with objects, and lines of what is odd in them or in what is made of them."""
    generator = Generator()
    store = Store(generator)
    Folder(folder, store).look()
    found = list(store.status())
    problems = [_problem(text) for one in found for text in one.reasons]
    warnings = [text for one in found for text in one.warnings]
    notes = generator.notes(replace(node_of(node.id, node.metadata, crds.bind), outbound=crds.outbound))
    places = {one.key: one.place for one in found}
    warnings += [f"{places.get(key, folder)}: {key}: {text}" for key, texts in notes.items() for text in texts]
    return problems, warnings


def _problem(text: str) -> Problem:
    place, _, rest = text.partition(": ")
    return Problem(place, 0, 0, "", rest)
