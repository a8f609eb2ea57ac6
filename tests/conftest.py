"""
What all tests share: hypothesis' bounds, the folder of what tests share on the path, what coverage measures.

Coverage traces every line that runs, which more than doubles the time of all tests. So it is off where it tells
nothing: while tests are collected (pytest rewrites thousands of asserts), and in properties, golden bytes, mutants and
those tests that count work by a tracer of their own, whose lines other tests run, too.

What is imported and collected stays until the end: the garbage collector waits meanwhile, and then looks at none of it.
"""

import gc
import importlib
import pkgutil
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import metaproxy

HERE = Path(__file__).parent

sys.path.insert(0, str(HERE / "shared"))
import examples  # noqa: E402
from few_reports import FewReports  # noqa: E402

for name, number in (("usual", examples.USUAL), ("deep", examples.DEEP)):
    settings.register_profile(
        name,
        deadline=None,
        max_examples=number,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
settings.load_profile("usual")


@pytest.fixture(autouse=True, scope="session")
def all_at_once() -> Iterator[None]:
    """What is done in slices is done at once unless a test says otherwise: a busy machine gets less far in 5 ms."""
    slices = importlib.import_module("metaproxy.config.slices")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slices, "FIRST", 60.0)
        yield


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput") and not config.pluginmanager.has_plugin("rerunfailures"):
        config.pluginmanager.register(FewReports())


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, Any, Any]:
    gc.disable()
    try:
        with not_covered(session):
            return (yield)
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def not_covered(session: pytest.Session) -> Iterator[None]:
    coverage = session.config.pluginmanager.getplugin("_cov")
    measured = getattr(coverage, "cov_controller", None)
    if measured is None or session.config.getoption("dist", "no") != "no":  # not measured, or measured by the workers
        yield
        return
    for module in pkgutil.walk_packages(metaproxy.__path__, "metaproxy."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)  # its definitions count as run
    measured.pause()
    try:
        yield
    finally:
        measured.resume()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for path, of_a_file in groupby(items, lambda item: item.path):
        if path.is_relative_to(HERE / "property") or path.stem.endswith(("_golden", "_work", "_mutants")):
            for item in of_a_file:
                item.add_marker("no_cover")
