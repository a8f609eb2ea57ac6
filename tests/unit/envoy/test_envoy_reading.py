"""Files as Envoy reads them."""

from __future__ import annotations

from envoy.config.bootstrap.v3.bootstrap_pb2 import Bootstrap

from metaproxy.config.schema.load import load_foreign
from metaproxy.envoy.reading import Places, is_bootstrap, read_message
from metaproxy.envoy.report import Finding, Report, Severity

TEXT = """\
staticResources:
  clusters:
  - &c
    name: one
    connect_timeout: 1s
  - <<: *c
    name: ${TWO}
    name: two
  listeners:
    name: alone
"""


def test_a_file_is_read_with_merges_and_places() -> None:
    report = Report()
    message, places, problems = read_message(TEXT, "e.yaml", Bootstrap(), report)
    assert problems == []
    assert message is not None
    assert [one.name for one in message.static_resources.clusters] == ["one", "two"]
    assert [one.connect_timeout.seconds for one in message.static_resources.clusters] == [1, 1]
    where = places.problem(Finding(Severity.INVALID, "static_resources.clusters[1].name", "x"))
    assert (where.line, where.path) == (8, "static_resources.clusters[1].name")


def test_the_last_of_a_key_that_is_given_twice_counts_and_one_alone_is_a_list_with_a_warning_each() -> None:
    report = Report()
    read_message(TEXT, "e.yaml", Bootstrap(), report)
    assert [(one.severity, one.path) for one in report.findings] == [
        (Severity.WARNING, "staticResources.clusters[1].name"),
        (Severity.WARNING, "static_resources.listeners"),
    ]


def test_a_path_into_one_alone_leads_to_it() -> None:
    root, _, _ = load_foreign(TEXT, "e.yaml")
    found = Places("e.yaml", root).node("static_resources.listeners[0].name")
    assert found is not None
    assert found.line == 10


def test_a_path_that_the_file_does_not_have_leads_to_the_nearest_around_it() -> None:
    root, _, _ = load_foreign(TEXT, "e.yaml")
    found = Places("e.yaml", root).node("static_resources.clusters[0].load_assignment.endpoints")
    assert found is not None
    assert found.line == 3


def test_json_is_read_as_well() -> None:
    message, _, problems = read_message(
        '{"static_resources": {"clusters": [{"name": "a"}]}}', "e", Bootstrap(), Report()
    )
    assert problems == []
    assert message is not None
    assert message.static_resources.clusters[0].name == "a"


def test_what_is_no_yaml_is_a_problem_with_its_line() -> None:
    message, _, problems = read_message("a: [", "e.yaml", Bootstrap(), Report())
    assert message is None
    assert [one.file for one in problems] == ["e.yaml"]


def test_a_bootstrap_is_known_by_its_keys_in_either_spelling() -> None:
    for text, wanted in ((TEXT, True), ("dynamic_resources: {}", True), ("listeners: []", False), ("- a", False)):
        root, _, _ = load_foreign(text, "e")
        assert is_bootstrap(root) is wanted


def test_what_is_marked_to_be_ignored_is_there_for_anchors_alone() -> None:
    text = """
x: !ignore
- &base {connect_timeout: 1s}
static_resources: {clusters: [{<<: *base, name: one}]}
"""
    report = Report()
    message, _, problems = read_message(text, "e.yaml", Bootstrap(), report)
    assert problems == []
    assert report.findings == []
    assert message is not None
    assert message.static_resources.clusters[0].connect_timeout.seconds == 1
