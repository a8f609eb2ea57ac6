"""Windows: a message begins while there is room, and credit is given in few words."""

from metaproxy.codecs.stream_flow import Incoming, Outgoing


def test_nothing_is_sent_before_the_peer_is_there() -> None:
    half = Outgoing()
    assert half.add(b"a", 1) == b""
    assert half.add(b"end", 0) == b""
    assert (half.unsent, half.empty) == (1, False)
    assert half.open(10) == b"aend"
    assert (half.unsent, half.empty) == (0, True)


def test_a_message_begins_while_there_is_room_and_all_of_it_is_sent() -> None:
    half = Outgoing()
    half.open(1)
    assert half.add(b"first", 5) == b"first"
    assert half.add(b"second", 6) == b""
    assert half.grow(4) == b""  # the window is 0 again
    assert half.grow(1) == b"second"


def test_pieces_of_one_message_are_not_kept_apart() -> None:
    half = Outgoing()
    half.open(1)
    assert half.add(b"one", 3, continues=True) == b"one"
    assert half.add(b"two", 3, continues=True) == b"two"
    assert half.add(b"three", 5) == b"three"
    assert half.add(b"next", 4, continues=True) == b""
    assert half.add(b"last", 4) == b""
    assert half.grow(11) == b"nextlast"


def test_an_empty_message_and_an_end_need_no_room_but_keep_their_place() -> None:
    half = Outgoing()
    half.open(1)
    assert half.add(b"abc", 3) == b"abc"
    assert half.add(b"empty", 0) == b"empty"
    assert half.add(b"def", 3) == b""
    assert half.add(b"end", 0) == b""
    assert half.grow(100) == b"defend"


def test_without_flow_control_nothing_waits() -> None:
    half = Outgoing()
    half.open(None)
    assert [half.add(b"x", 1 << 30) for _ in range(3)] == [b"x"] * 3
    assert half.grow(5) == b""


def test_what_was_given_up_is_not_sent() -> None:
    half = Outgoing()
    half.add(b"abc", 3)
    half.clear()
    assert (half.open(None), half.unsent, half.empty) == (b"", 0, True)


def test_credit_is_given_for_a_quarter_of_the_window_at_a_time() -> None:
    half = Incoming(100, 200)
    assert half.take(60)
    assert [half.credit(10), half.credit(14), half.credit(1), half.credit(35)] == [0, 0, 25, 35]


def test_without_a_window_each_credit_is_given() -> None:
    half = Incoming(0, 200)
    half.take(5)
    assert [half.credit(0), half.credit(2), half.credit(3)] == [0, 2, 3]


def test_more_than_the_most_was_not_allowed_and_a_message_may_go_over_it() -> None:
    half = Incoming(100, 200)
    assert half.take(199)
    assert half.take(500)
    assert not half.take(1)
    assert half.take(0)  # takes no room
    half.credit(600)
    assert half.take(1)
