import re

from metaproxy.telemetry.metrics.families import FAMILIES, Family

LABELS = {
    "listener", "protocol", "route", "cluster", "endpoint", "outcome", "result", "python", "twisted", "version",
    "filter", "event", "name", "cause", "limit", "method", "server", "resource", "role", "dialect", "key",
    "priority", "worker",
}  # fmt: skip


def keeps_the_conventions(family: Family) -> bool:
    return bool(
        re.fullmatch(r"metaproxy_[a-z_]+", family.name)
        and (family.kind == "counter") == family.name.endswith("_total")
        and not re.search(r"_ms$|_ms_|milliseconds|count$|sum$|bucket$", family.name)
        and (family.kind != "histogram" or family.name.endswith("_seconds"))
        and set(family.labels) <= LABELS
        and family.about.endswith(".")
    )


def test_each_name_keeps_the_conventions() -> None:
    assert [family for family in FAMILIES if not keeps_the_conventions(family)] == []


def test_a_name_stands_once() -> None:
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)
