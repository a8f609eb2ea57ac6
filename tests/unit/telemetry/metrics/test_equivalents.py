from __future__ import annotations

import re

from metaproxy.telemetry.metrics.equivalents import AERAKI, ENVOY
from metaproxy.telemetry.metrics.families import FAMILIES

ORIGINAL = set(
    """
    request request_twoway request_oneway request_event request_stream request_decoding_success request_decoding_error
    request_active request_time_ms response response_decoding_success response_success response_error
    response_business_exception response_decoding_error response_error_caused_connection_close
    local_response_business_exception local_response_error local_response_success cx_destroy_local_with_active_rq
    cx_destroy_remote_with_active_rq idle_timeout local_rate_limit.ok local_rate_limit.rate_limited
    """.split()  # noqa: SIM905 - a list of as many quoted words is no easier to read
)
"""The statistics of Aeraki's proxy, from its documentation and source."""


def test_each_statistic_of_the_original_is_mapped() -> None:
    assert {theirs for theirs, _, _ in AERAKI} == ORIGINAL


def test_each_mapping_names_metrics_that_are_there_or_says_why_there_is_none() -> None:
    known = {family.name for family in FAMILIES}
    for theirs, ours, note in AERAKI + ENVOY:
        assert set(re.findall(r"metaproxy_\w+", ours)) <= known, theirs
        assert ours or note, theirs
