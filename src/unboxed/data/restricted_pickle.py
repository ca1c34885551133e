"""Reads pickles of plain values: lists, tuples, sets, dictionaries, strings, bytes, numbers, booleans and None.

A pickle is a program, and loading it runs what the file contains. The reader here is Python's own, restricted to the
instructions that build plain values. Every other instruction is refused by its name: those that name a class, call
something, or reach outside of the file. Memory is bounded by the size of the file.

Objects of classes that the caller names are read as dictionaries of their attributes; their classes are not imported.
"""

from __future__ import annotations

import pickle
import pickletools
import struct
import warnings
from collections.abc import Callable, Collection
from io import BytesIO
from pathlib import Path
from typing import Any, NoReturn

from unboxed.errors import DatasetError

__all__ = ["MAX_BYTES", "MAX_DEPTH", "read_plain_pickle"]

MAX_BYTES = 500_000_000
"""The limit of a file's size in bytes; the largest release of referring expressions has a tenth of it."""

MAX_DEPTH = 32
"""The limit of the depth to which containers are nested."""

_MAX_BITS = 13_000  # of an integer; Python prints none of more than 4,300 digits

_PLAIN = (
    "PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "DUP", "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "GET",
    "BINGET", "LONG_BINGET", "NONE", "NEWTRUE", "NEWFALSE", "INT", "LONG", "BININT", "BININT1", "BININT2", "LONG1",
    "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE",
    "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "EMPTY_LIST", "LIST", "APPEND",
    "APPENDS", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS",
    "EMPTY_SET", "ADDITEMS", "FROZENSET",
)  # fmt: skip

_KEYS = {  # instruction -> the values that it uses as keys or set members, among those above the last mark
    "SETITEM": slice(-2, -1),
    "SETITEMS": slice(0, None, 2),
    "DICT": slice(0, None, 2),
    "ADDITEMS": slice(0, None),
    "FROZENSET": slice(0, None),
}


def read_plain_pickle(path: Path, records: Collection[tuple[str, str]] = ()) -> Any:
    """The value of a pickle of any protocol. Strings of Python 2 are read as UTF-8, or else as Latin-1.

    Args:
        path: the file.
        records: (module, name) of classes whose objects are read as dictionaries of their attributes.

    Raises:
        DatasetError: not a pickle, truncated, larger or deeper than the limits, or not made of plain values only.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise DatasetError(f"{path} has {size:,} bytes, the limit is {MAX_BYTES:,}; it is no list of expressions.")
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(
            f"{path} cannot be read ({error.strerror}); expected a pickle such as refs(unc).p."
        ) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python 3 warns of escapes in strings that Python 2 wrote
            reader = _RecordUnpickler(BytesIO(content), records) if records else _PlainUnpickler(BytesIO(content))
            value = reader.load()
        if reader.stack or reader.metastack:
            raise ValueError("values are left over")
        _check_depth(value)
        return value
    except EOFError:
        reason = "it is truncated"
    except IndexError:
        reason = "a value or a mark is missing"
    except (
        pickle.UnpicklingError, ValueError, KeyError, TypeError, AttributeError, OverflowError, struct.error,
    ) as error:  # fmt: skip
        reason = str(error)
    raise DatasetError(f"{path} is no pickle of plain values ({reason}); fetch it again from its release.")


class _Steps(dict[int, Callable[[Any], None]]):
    """Instruction code -> the method that executes it, for the instructions that build plain values."""

    def __missing__(self, code: int) -> NoReturn:
        name = next((known.name for known in pickletools.opcodes if known.code == chr(code)), None)
        raise pickle.UnpicklingError(
            "it is not in pickle's format"
            if name is None
            else f"its instruction {name} asks for more than plain values"
        )


def _step(name: str) -> Callable[[Any], None]:
    run: Callable[[Any], None] = pickle._Unpickler.dispatch[getattr(pickle, name)[0]]
    if name not in _KEYS:
        return run

    def checked(reader: _PlainUnpickler) -> None:
        for value in reader.stack[_KEYS[name]]:
            # The time and the depth of the stack that it takes to hash nested tuples have no bound.
            if not isinstance(value, str | bytes | int | float | None):
                raise ValueError(f"a {type(value).__name__} as a key or in a set")
        if name in ("SETITEMS", "DICT") and len(reader.stack) % 2:
            raise ValueError("a key without value")
        run(reader)

    return checked


class _PlainUnpickler(pickle._Unpickler):
    """Python's reader with only those instructions that build plain values."""

    dispatch = _Steps({getattr(pickle, name)[0]: _step(name) for name in _PLAIN})
    stack: list[Any]
    metastack: list[list[Any]]

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"{module}.{name} is more than a plain value")

    def persistent_load(self, pid: Any) -> NoReturn:
        raise pickle.UnpicklingError("a persistent id is more than a plain value")

    def get_extension(self, code: int) -> NoReturn:
        raise pickle.UnpicklingError("an extension code is more than a plain value")

    def _decode_string(self, value: bytes) -> str:
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return value.decode("latin-1")


class _RecordUnpickler(_PlainUnpickler):
    """Also reads objects of some classes as dictionaries; a class is represented by its name, a plain string."""

    def __init__(self, stream: BytesIO, records: Collection[tuple[str, str]]) -> None:
        super().__init__(stream)
        self.records = {f"{module}.{name}" for module, name in records}

    def find_class(self, module: str, name: str) -> str:  # type: ignore[override]
        if f"{module}.{name}" not in self.records:
            raise pickle.UnpicklingError(f"{module}.{name} is more than a plain value")
        return f"{module}.{name}"

    def new_record(self) -> None:
        """An object without attributes; no constructor is called."""
        arguments, name = self.stack.pop(), self.stack.pop()
        if arguments != () or not isinstance(name, str) or name not in self.records:
            raise pickle.UnpicklingError("an object of an unknown class, or with arguments, is more than a plain value")
        self.stack.append({})

    def set_attributes(self) -> None:
        attributes = self.stack.pop()
        record = self.stack[-1]
        if not (type(record) is dict and type(attributes) is dict and all(isinstance(key, str) for key in attributes)):
            raise pickle.UnpicklingError("attributes of something else than an object are more than a plain value")
        record.update(attributes)

    dispatch = _Steps(
        {
            **_PlainUnpickler.dispatch,
            **{getattr(pickle, name)[0]: _step(name) for name in ("GLOBAL", "STACK_GLOBAL")},
            pickle.NEWOBJ[0]: new_record,
            pickle.BUILD[0]: set_attributes,
        }
    )


def _check_depth(value: Any) -> None:
    """Raises ValueError for deep nesting, for containers that contain themselves, and for very long integers."""
    level, depth = [[value]], 0
    while level:
        if depth > MAX_DEPTH + 1:
            raise ValueError(f"containers nested deeper than {MAX_DEPTH}, or in themselves")
        inside: dict[int, Any] = {}  # by id: a container that is used many times is visited once a level
        for container in level:
            for part in (*container, *container.values()) if isinstance(container, dict) else container:
                if isinstance(part, list | tuple | dict | set | frozenset):
                    inside[id(part)] = part
                elif isinstance(part, int) and part.bit_length() > _MAX_BITS:
                    raise ValueError("a number of too many digits")
        level, depth = list(inside.values()), depth + 1
