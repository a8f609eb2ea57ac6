from metaproxy.support.words import words


class Silent:
    pass


class Speaking:
    def __str__(self) -> str:
        return "twice a minute"


def test_what_an_object_says_of_itself_is_told() -> None:
    assert words(Speaking()) == "twice a minute"
    assert [words(one) for one in (None, 1, "x at 0x1", ["a"])] == ["None", "1", "x at 0x1", "['a']"]


def test_what_says_only_where_it_is_is_told_by_its_kind() -> None:
    assert [words(one) for one in (Silent(), [Silent()], words)] == ["Silent", "list", "function"]
