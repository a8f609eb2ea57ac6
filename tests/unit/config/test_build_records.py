from __future__ import annotations

import weakref
from dataclasses import dataclass

from twisted.internet.task import Clock

from metaproxy.config import model
from metaproxy.config.build_records import Book, Records
from metaproxy.config.slices import Slices
from metaproxy.units import Seconds


@dataclass
class Kept:
    spec: model.Cluster
    stamps: None = None


def commit(book: Book[model.Cluster, Kept, object], timeout: float, slices: Slices) -> None:
    """Put twenty clusters in force, which are others with another time-out."""
    specs = [model.Cluster(name=f"c{number}", connect_timeout=Seconds(timeout)) for number in range(20)]
    records = Records(book, specs)
    records.made = {spec.name: Kept(spec) for spec in specs}
    slices.run(records.commit)


def test_what_was_in_force_is_freed_in_slices() -> None:
    clock = Clock()
    book: Book[model.Cluster, Kept, object] = Book(lambda record: record)
    commit(book, 1.0, Slices(clock))
    before = [weakref.ref(record) for record in book.records.values()]
    commit(book, 2.0, Slices(clock, 0.0, 0.0))
    assert all(record.spec.connect_timeout == 2.0 for record in book.records.values())
    assert any(one() is not None for one in before)
    clock.pump([0.0] * 50)
    assert all(one() is None for one in before)
