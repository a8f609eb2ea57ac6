from __future__ import annotations

import random
import uuid
from collections import Counter

from metaproxy.telemetry.tracing import request_id


def test_a_fresh_id_is_a_uuid_of_version_4_and_says_that_it_is_not_traced() -> None:
    rng = random.Random(1)
    for _ in range(200):
        id = request_id.fresh(rng.getrandbits(128))
        parsed = uuid.UUID(id)
        assert (str(parsed), parsed.version, parsed.variant) == (id, 4, uuid.RFC_4122)
        assert request_id.reason(id) == request_id.FRESH
    assert len(request_id.fresh(0)) == request_id.LENGTH


def test_a_reason_stands_at_character_14_and_changes_nothing_else() -> None:
    id = request_id.fresh(12345 << 64)
    for reason in request_id.TRACED:
        marked = request_id.marked(id, reason)
        assert request_id.reason(marked) == marked[14] == reason
        assert request_id.marked(marked, request_id.FRESH) == id


def test_whatever_is_no_such_id_is_not_traced() -> None:
    for id in ("", "a" * 35, "a" * 37, "9" * 1000):
        assert request_id.reason(id) == request_id.FRESH


def test_draws_are_the_same_wherever_they_are_made_and_spread_evenly() -> None:
    assert request_id.draw("0000270f-0000-4000-8000-000000000000") == 9999
    assert request_id.draw("00002710-0000-4000-8000-000000000000") == 0
    rng = random.Random(7)
    for bits in (0, 1 << 127, *(rng.getrandbits(128) for _ in range(100))):
        assert request_id.draw_of(bits) == request_id.draw(request_id.fresh(bits))
    tenths = Counter(request_id.draw(request_id.fresh(rng.getrandbits(128))) // 1000 for _ in range(20000))
    # 2000 each; 5 standard deviations of a binomial are 212.
    assert all(abs(number - 2000) < 212 for number in tenths.values()) and len(tenths) == 10
