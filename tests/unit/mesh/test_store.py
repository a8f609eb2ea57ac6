"""Which version of each object holds."""

from __future__ import annotations

from mesh_objects import documents, written

from metaproxy.mesh.objects.meta_router import ApplicationProtocol
from metaproxy.mesh.objects.reading import Key, Object
from metaproxy.mesh.store import State, Store


class Kept:
    """A sink that remembers what it was given: name -> codec, and each change."""

    def __init__(self) -> None:
        self.codecs: dict[str, str] = {}
        self.changes: list[str] = []

    def put(self, object: Object) -> None:
        assert isinstance(object.spec, ApplicationProtocol)
        self.codecs[object.key.name] = object.spec.codec
        self.changes.append(f"+{object.key.name}")

    def remove(self, key: Key) -> None:
        del self.codecs[key.name]
        self.changes.append(f"-{key.name}")


def text(*names: str, codec: str = "c") -> str:
    return "---\n".join(written("ApplicationProtocol", name, f"{{protocol: {name}, codec: {codec}}}") for name in names)


def fill(store: Store, given: str, file: str = "a.yaml") -> None:
    store.fill(file, documents(given, file))


def test_objects_of_a_source_come_change_and_go() -> None:
    kept = Kept()
    store = Store(kept)
    fill(store, text("x", "y"))
    fill(store, text("x", codec="d"))
    assert kept.codecs == {"x": "d"}
    fill(store, "")
    assert kept.codecs == {}
    assert list(store.status()) == []


def test_an_object_that_did_not_change_is_not_given_again() -> None:
    kept = Kept()
    store = Store(kept)
    fill(store, text("x", "y"))
    fill(store, "\n\n" + text("x", "y"))
    assert kept.changes == ["+x", "+y"]
    assert [one.place for one in store.status()] == ["a.yaml:3", "a.yaml:12"]


def test_of_an_object_that_is_wrong_the_version_before_holds_and_the_status_says_why() -> None:
    kept = Kept()
    store = Store(kept)
    fill(store, text("x", "y"))
    fill(store, text("x").replace("codec", "codek") + "---\n" + text("y", codec="d"))
    assert kept.codecs == {"x": "c", "y": "d"}
    x, y = store.status()
    assert (x.state, y.state) == (State.KEPT, State.ACCEPTED)
    assert "did you mean 'codec'?" in x.reasons[0]


def test_an_object_that_was_always_wrong_is_refused() -> None:
    kept = Kept()
    store = Store(kept)
    fill(store, text("x").replace("codec", "codek"))
    assert kept.changes == []
    assert [one.state for one in store.status()] == [State.REFUSED]
    fill(store, text("x"))
    assert [one.state for one in store.status()] == [State.ACCEPTED]


def test_while_something_of_a_file_can_not_be_read_nothing_of_it_is_forgotten() -> None:
    kept = Kept()
    store = Store(kept)
    fill(store, text("x", "y"))
    fill(store, text("x") + "---\n{")
    assert kept.codecs == {"x": "c", "y": "c"}
    assert [one.state for one in store.status() if one.key is None] == [State.REFUSED]
    fill(store, text("x"))
    assert kept.codecs == {"x": "c"}


def test_of_two_files_with_one_object_the_first_holds_until_it_is_gone() -> None:
    kept = Kept()
    store = Store(kept)
    fill(store, text("x", codec="first"), "a.yaml")
    fill(store, text("x", codec="second"), "b.yaml")
    assert kept.codecs == {"x": "first"}
    assert [one.reasons for one in store.status()] == [
        (),
        ("b.yaml:1: ApplicationProtocol x is there already, at a.yaml:1",),
    ]
    fill(store, "", "a.yaml")
    assert kept.codecs == {"x": "second"}
    fill(store, "", "b.yaml")
    assert kept.codecs == {}


def test_an_object_that_stands_twice_in_one_file_is_refused_the_second_time() -> None:
    kept = Kept()
    store = Store(kept)
    fill(store, text("x") + "---\n" + text("x", codec="d"))
    assert kept.codecs == {"x": "c"}
    assert [one.reasons for one in store.status() if one.reasons] == [
        ("a.yaml:10: ApplicationProtocol x is there already, at a.yaml:1",)
    ]


def test_single_objects_of_a_source_are_put_and_removed() -> None:
    kept = Kept()
    store = Store(kept)
    (document,) = documents(text("x"))
    store.put("kubernetes", document)
    key = Key("ApplicationProtocol", "", "x")
    status = store.status_of(key)
    assert status is not None and status.state is State.ACCEPTED
    store.remove("kubernetes", key)
    store.remove("kubernetes", key)
    assert kept.changes == ["+x", "-x"]
    assert store.status_of(key) is None
