"""
The options of a plugin, as the annotations of its constructor declare them.

Lives here: `convert`, from a configuration's values to a constructor's arguments, with every check; `hide`, which makes
secrets of the texts that are declared so; `parameters` and `declared`, which the reference and the schema are made of.
Does not: the annotations themselves (`units`); places in a file (`config.schema.reading`).

Plain annotations are converted in the same way; they have neither bounds nor a text.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections import abc
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from importlib import import_module

from metaproxy import units
from metaproxy.support.nearest_name import did_you_mean
from metaproxy.units import Bound, Option, OptionsOf, Secret

T = typing.TypeVar("T")

Target = Callable[..., object]
Path = tuple[str | int, ...]
Parameters = dict[str, tuple[object, inspect.Parameter]]


class OptionError(ValueError):
    """
    An option that a plugin doesn't take. option: its name, or None when the fault is in them together; path: the keys
    and places within it, such as (2, "limit"), that lead to what is wrong. known: the names there are, when it is an
    option (without a path) that is not there.
    """

    def __init__(
        self, option: str | None, text: str, known: Iterable[str] = (), path: Iterable[str | int] = ()
    ) -> None:
        super().__init__(text)
        self.option = option
        self.path = tuple(path)
        self.known = list(known)

    def within(self, option: str, *path: str | int) -> OptionError:
        """The same fault, seen from an option whose value holds the one that has it."""
        inner = () if self.option is None else (self.option,)
        known = f"; {meant(str(self.option), self.known)}" if self.known else ""
        return OptionError(option, f"{self}{known}", path=(*path, *inner, *self.path))


def meant(name: str, known: Iterable[str]) -> str:
    """What to write in the place of a name that is not known."""
    names = list(known)
    return did_you_mean(name, names, f"there are {', '.join(names)}")


class Wrong(ValueError):
    """A value within an option is not what it must be. path: what leads there from the option."""

    def __init__(self, text: str, path: Path = ()) -> None:
        super().__init__(text)
        self.path = path


# -- what is declared


class Annotation(typing.NamedTuple):
    """An annotation in its parts. kind: the type; section: the class whose options are the keys of the value."""

    kind: object
    option: Option | None
    section: Target | None
    made: bool
    """Whether the section is made before its plugin is."""


def parameters(target: Target, skip: Iterable[str] = ()) -> Parameters:
    """name -> (annotation, parameter) of a plugin's options, in the order of its constructor."""
    try:
        return {name: one for name, one in _parameters(target).items() if name not in skip}
    except TypeError:  # an object that can't be hashed
        return {name: one for name, one in _parameters.__wrapped__(target).items() if name not in skip}


@lru_cache(maxsize=256)
def _parameters(target: Target) -> Parameters:
    function = inspect.unwrap(getattr(target, "__init__", target)) if isinstance(target, type) else target
    if function is object.__init__:
        return {}
    hints = typing.get_type_hints(function, include_extras=True)
    found = inspect.signature(target).parameters
    return {
        name: (hints.get(name, object), parameter)
        for name, parameter in found.items()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }


def declared(target: Target) -> Parameters:
    """Those of its options that have a text, or are secrets."""
    return {name: one for name, one in parameters(target).items() if _is_declared(one[0])}


def _is_declared(hint: object) -> bool:
    return annotation(hint).option is not None or Secret in (hint, *typing.get_args(hint))


def annotation(hint: object) -> Annotation:
    """An annotation in its parts."""
    option: Option | None = None
    section: Target | None = None
    if typing.get_origin(hint) is typing.Annotated:
        kind, *extras = typing.get_args(hint)
        for one in extras:
            option = one if isinstance(one, Option) else option
            section = _loaded(one.target) if isinstance(one, OptionsOf) else section
        hint = kind
    if section is None and is_section(hint):
        return Annotation(hint, option, hint, True)
    return Annotation(hint, option, section, False)


def is_section(hint: object) -> typing.TypeGuard[type]:
    """Whether an annotation is a class whose constructor declares options: a mapping is written, the class is made."""
    if not isinstance(hint, type) or hint.__module__ in ("builtins", "metaproxy.units"):
        return False
    try:
        return any(annotation(one).option is not None for one, _ in parameters(hint).values())
    except (NameError, TypeError, ValueError):  # its annotations can't be read: it is no class of options
        return False


def _loaded(target: type | str) -> Target | None:
    """None where what it needs is not installed: then it can't be made either."""
    if not isinstance(target, str):
        return target
    module, _, name = target.rpartition(".")
    try:
        found: Target = getattr(import_module(module), name)
    except ImportError:
        return None
    return found


# -- conversion


def convert(
    target: Target, options: Mapping[str, object], injected: Mapping[str, object], skip: Iterable[str] = ()
) -> dict[str, object]:
    """The keyword arguments of a plugin's constructor, converted to its annotations. Raises OptionError."""
    takes = parameters(target, skip)
    arguments = {name: injected[name] for name in takes if name in injected}
    offered = [name for name in takes if name not in injected]
    for name, value in options.items():
        if name not in offered:
            raise OptionError(name, f"no option {name!r}", offered)
        try:
            arguments[name] = _converted(takes[name][0], value)
        except Wrong as error:
            raise OptionError(name, str(error), path=error.path) from error
        except ValueError as error:
            raise OptionError(name, str(error)) from error
    for name in offered:
        if name not in options and takes[name][1].default is inspect.Parameter.empty:
            raise OptionError(None, f"option {name!r} is missing")
    return arguments


def made(target: Callable[..., T], spec: object, option: str, *path: str | int, **given: object) -> T:
    """
    `target(**spec, **given)`, where `spec` stands at the path in an option: converted to the annotations of `target`
    and checked as the options of a plugin are. given: arguments that are no options. Raises OptionError.
    """
    try:
        if not isinstance(spec, Mapping):
            raise ValueError(f"{spec!r:.100} is not a mapping")
        return target(**convert(target, spec, given))
    except OptionError as error:
        raise error.within(option, *path) from None
    except ValueError as error:
        raise OptionError(option, str(error), path=path) from None


_NOTATIONS: dict[object, Callable[[object], object]] = {
    units.Seconds: units.seconds,
    units.Bytes: units.size,
    units.Percent: units.percent,
}
_WORDS = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    dict: "a mapping",
    list: "a list",
}
COLLECTIONS: dict[object, type] = {
    **{kind: kind for kind in (list, tuple, set, frozenset, dict)},
    **dict.fromkeys((abc.Sequence, abc.Collection, abc.Iterable), list),
    abc.Mapping: dict,
}
"""What an option is made of that is annotated with one of these and what it holds: `Sequence[str]`."""


def _converted(hint: object, value: object) -> object:
    """`value` as the annotation wants it. Raises ValueError."""
    notation = _NOTATIONS.get(hint)
    if notation is not None:
        return notation(value)
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        return _bounded(hint, value)
    if origin in (typing.Union, types.UnionType):
        return _one_of(typing.get_args(hint), value)
    if origin is typing.Literal:
        if value not in typing.get_args(hint):
            raise ValueError(f"{value!r} is none of {', '.join(map(str, typing.get_args(hint)))}")
        return value
    if origin in COLLECTIONS:
        return _collection(COLLECTIONS[origin], typing.get_args(hint), value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is Secret:
        if not isinstance(value, str):
            raise ValueError("this is not a text; write it in quotes, or {secret: NAME}")  # never with the value
        return Secret(value)
    if not isinstance(hint, type) or hint is object:
        return value
    if is_section(hint) and not isinstance(value, hint):
        return _section(hint, value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ValueError(f"{value!r} is not {_WORDS.get(hint, hint.__name__)}")
    return value


def _section(target: Target, value: object) -> object:
    try:
        return made(target, value, "")
    except OptionError as error:
        raise Wrong(str(error), error.path) from None


def _one_of(hints: Iterable[object], value: object) -> object:
    first: ValueError | None = None
    for hint in hints:
        if hint is type(None):
            if value is None:
                return None
            continue
        try:
            return _converted(hint, value)
        except ValueError as error:
            # What goes deeper into the value is nearer to what was meant.
            if first is None or len(getattr(error, "path", ())) > len(getattr(first, "path", ())):
                first = error
    raise first or ValueError(f"{value!r} is not allowed here")


def _collection(origin: type, hints: tuple[object, ...], value: object) -> object:
    if origin is dict:
        if not isinstance(value, dict):
            raise ValueError(f"{value!r} is not a mapping")
        return {key: _inner(hints[1], item, str(key)) for key, item in value.items()} if hints else value
    if not isinstance(value, list):
        raise ValueError(f"{value!r} is not a list")
    return origin(_inner(hints[0], item, place) for place, item in enumerate(value)) if hints else origin(value)


def _inner(hint: object, value: object, step: str | int) -> object:
    try:
        return _converted(hint, value)
    except ValueError as error:
        raise Wrong(str(error), (step, *getattr(error, "path", ()))) from error


# -- bounds


def _bounded(hint: object, value: object) -> object:
    kind, *extras = typing.get_args(hint)
    option = next((one for one in extras if isinstance(one, Option)), None)
    try:
        result = _converted(kind, value)
    except ValueError:
        if option is None or option.secret is False:
            raise
        raise ValueError("this can't be read; it is not shown, as it may hold a secret") from None
    if option is None or result is None or isinstance(result, bool):
        return result
    if isinstance(result, (int, float)):
        _check(option, float(result), value if isinstance(value, str) else repr(value), "")
    elif isinstance(result, str):
        _check_length(option, len(result), "text", " characters")
    elif isinstance(result, (list, tuple, set, frozenset, dict)):
        _check_length(option, len(result), "mapping" if isinstance(result, dict) else "list", "")
    return result


def _check_length(option: Option, length: int, what: str, of: str) -> None:
    """The value itself is not shown: it may be long, or secret."""
    if not length and option.least:
        raise ValueError(f"an empty {what}; write at least {option.least}{of}")
    _check(option, length, f"a {what} of {length}{of}", of)


def _check(option: Option, number: float, shown: str, of: str) -> None:
    """Raises ValueError for a number that is out of the option's bounds."""
    least, most, above = option.least, option.most, option.above
    low = least is not None and number < bound(least)
    high = most is not None and number > bound(most)
    if above is not None and number <= bound(above):
        raise ValueError(f"{shown} is too little; it must be greater than {above}{of}")
    if (low or high) and least is not None and most is not None:
        raise ValueError(f"{shown} is out of bounds; allowed are {least} to {most}{of}")
    if low:
        raise ValueError(f"{shown} is less than {least}{of}")
    if high:
        raise ValueError(f"{shown} is more than {most}{of}")


def bound(written: Bound) -> float:
    """A bound as a number."""
    if not isinstance(written, str):
        return float(written)
    try:
        return units.seconds(written)
    except ValueError:
        return float(units.size(written))


# -- secrets


def hide(target: Target, options: Mapping[str, object]) -> dict[str, object]:
    """The options, with a `Secret` in the place of each text that is declared to be one."""
    takes = parameters(target)
    return {name: _hidden(takes[name][0], one) if name in takes else one for name, one in options.items()}


def secrets_of(value: object) -> abc.Iterator[Secret]:
    """The secrets within options."""
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from secrets_of(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from secrets_of(one)


def _hidden(hint: object, value: object) -> object:
    kind, option, section, _ = annotation(hint)
    if kind is Secret or (option is not None and option.secret is True):
        return _all_hidden(value)
    if option is not None and isinstance(option.secret, tuple):
        value = _hidden_at(option.secret, value)
    if section is not None:
        return hide(section, value) if isinstance(value, Mapping) else value
    arguments = typing.get_args(kind)
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        for one in arguments:
            value = _hidden(one, value)
    elif COLLECTIONS.get(origin) is dict and isinstance(value, Mapping) and len(arguments) > 1:
        return {key: _hidden(arguments[1], item) for key, item in value.items()}
    elif origin in COLLECTIONS and isinstance(value, list) and arguments:
        return [_hidden(arguments[0], item) for item in value]
    return value


def _all_hidden(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _all_hidden(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_all_hidden(item) for item in value]
    return Secret(value) if isinstance(value, str) else value


def _hidden_at(keys: tuple[str, ...], value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _all_hidden(item) if key in keys else _hidden_at(keys, item) for key, item in value.items()}
    return [_hidden_at(keys, item) for item in value] if isinstance(value, (list, tuple)) else value
