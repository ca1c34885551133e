"""Dataclasses to and from plain JSON values, strictly: nothing is converted from one kind to another (cattrs)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, get_args, get_origin

if TYPE_CHECKING:
    from cattrs import ClassValidationError, Converter

__all__ = [
    "FieldHooks",
    "UnknownFieldError",
    "WrongKindError",
    "from_json",
    "is_probability_or_none",
    "path_of",
    "texts_of",
    "to_json",
]

T = TypeVar("T")


class UnknownFieldError(ValueError):
    """A name that the dataclass has no field of.

    Attributes:
        name: the unknown name; names of nested dataclasses are joined by dots.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"unknown name {name!r}")
        self.name = name


class WrongKindError(ValueError):
    """A value of another kind than its field's.

    Attributes:
        name: the field; names of nested dataclasses are joined by dots.
        value: the value found.
        expected: the field's annotation.
    """

    def __init__(self, name: str, value: Any, expected: str) -> None:
        super().__init__(f"{name} is {value!r}; expected {expected}")
        self.name, self.value, self.expected = name, value, expected


class FieldHooks(NamedTuple):
    """How one field is read and written, where its type does not determine this.

    Attributes:
        read: JSON value -> field value; raises `TypeError` or `ValueError` for a wrong kind.
        write: field value -> JSON value.
    """

    read: Callable[[Any], Any]
    write: Callable[[Any], Any]


def to_json(
    value: Any, write_path: Callable[[Path], str] = str, hooks: Mapping[str, FieldHooks] | None = None
) -> dict[str, Any]:
    """The fields of a dataclass by name, as JSON values: tuples as lists, paths as `write_path` gives them.

    >>> from dataclasses import make_dataclass
    >>> Point = make_dataclass("Point", [("at", tuple[int, int]), ("file", Path)])
    >>> to_json(Point((1, 2), Path("a.png")))
    {'at': [1, 2], 'file': 'a.png'}

    Args:
        value: an instance of a dataclass; its nested dataclasses become dictionaries.
        write_path: the text of a path.
        hooks: for single fields of the outermost dataclass.
    """
    return dict(_converter(type(value), Path, write_path, hooks or {}).unstructure(value))


def from_json(
    cls: type[T],
    values: Mapping[str, Any],
    read_path: Callable[[str], Path] = Path,
    hooks: Mapping[str, FieldHooks] | None = None,
) -> T:
    """The dataclass that `to_json` wrote; fields that are left out take their defaults.

    A whole number may stand for a float and stays a whole number. Every other value must have the field's kind.

    Args:
        cls: the dataclass.
        values: JSON values by field name.
        read_path: the path of a text.
        hooks: for single fields of `cls`.

    Raises:
        UnknownFieldError: a name that is no field.
        WrongKindError: a value of the wrong kind.
        Exception: whatever the dataclass raises for values it refuses.
    """
    from cattrs import ClassValidationError

    if not isinstance(values, Mapping):
        raise WrongKindError(cls.__name__, values, "an object")
    try:
        return _converter(cls, read_path, str, hooks or {}).structure(values, cls)
    except ClassValidationError as error:
        raise _first_cause(error, cls, values, "") from None


def path_of(value: Any, read_path: Callable[[str], Path] = Path) -> Path:
    """A JSON text as a path.

    Raises:
        TypeError: it is no text, or has a null character, which no path has.
    """
    if not isinstance(value, str) or "\0" in value:
        raise TypeError(f"{repr(value)[:60]} is no path")
    return read_path(value)


def texts_of(value: Any) -> tuple[str, ...]:
    """A JSON list of texts as a tuple.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise ValueError(f"{repr(value)[:60]} is no list of texts")
    return tuple(value)


def is_probability_or_none(value: Any) -> bool:
    """Whether a JSON value is None or a number in 0..1."""
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1)


def _converter(
    cls: type[Any], read_path: Callable[[str], Path], write_path: Callable[[Path], str], hooks: Mapping[str, FieldHooks]
) -> Converter:
    from cattrs import Converter, override
    from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn

    converter = Converter(forbid_extra_keys=True)
    for kind, allowed in ((bool, (bool,)), (int, (int,)), (float, (int, float)), (str, (str,))):
        converter.register_structure_hook(kind, _exactly(allowed))
    converter.register_structure_hook(Path, lambda value, _: path_of(value, read_path))
    converter.register_unstructure_hook(Path, write_path)
    converter.register_structure_hook_func(_is_tuple, lambda value, kind: _tuple(converter, value, kind))
    converter.register_unstructure_hook_func(_is_tuple, lambda value: [converter.unstructure(item) for item in value])
    if hooks:
        overrides: dict[str, Any] = {
            name: override(struct_hook=_ignoring_type(hook.read), unstruct_hook=hook.write)
            for name, hook in hooks.items()
        }
        read = make_dict_structure_fn(cls, converter, _cattrs_forbid_extra_keys=True, **overrides)
        converter.register_structure_hook(cls, read)
        converter.register_unstructure_hook(cls, make_dict_unstructure_fn(cls, converter, **overrides))
    return converter


def _exactly(allowed: tuple[type, ...]) -> Callable[[Any, Any], Any]:
    """Gives back values of these types; a bool is no number, nor is what is too large for one with a fraction."""

    def check(value: Any, _: Any) -> Any:
        if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
            raise TypeError(value)
        if isinstance(value, int) and abs(value) > sys.float_info.max:
            raise TypeError(value)
        return value

    return check


def _ignoring_type(read: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda value, _: read(value)


def _is_tuple(kind: Any) -> bool:
    return get_origin(kind) is tuple


def _tuple(converter: Converter, value: Any, kind: Any) -> tuple[Any, ...]:
    items, kinds = _exactly((list, tuple))(value, kind), get_args(kind)
    if kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(items)
    return tuple(converter.structure(item, of) for item, of in zip(items, kinds, strict=True))


def _first_cause(error: ClassValidationError, cls: Any, values: Mapping[str, Any], prefix: str) -> Exception:
    """The first thing wrong, as an error that names the field."""
    from cattrs import AttributeValidationNote, ClassValidationError, ForbiddenExtraKeysError

    cause = error.exceptions[0]
    if isinstance(cause, ForbiddenExtraKeysError):
        return UnknownFieldError(prefix + next(name for name in values if name in cause.extra_fields))
    note = next((note for note in getattr(cause, "__notes__", ()) if isinstance(note, AttributeValidationNote)), None)
    if note is None:
        return cause
    if isinstance(cause, ClassValidationError):
        return _first_cause(cause, note.type, values[note.name], f"{prefix}{note.name}.")
    expected = next(str(field.type) for field in fields(cls) if field.name == note.name)
    return WrongKindError(prefix + note.name, values[note.name], expected)
