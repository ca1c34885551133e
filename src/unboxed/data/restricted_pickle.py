"""Pickles of plain values, read without ever unpickling: lists, tuples, sets, dictionaries, strings and numbers.

Unpickling runs whatever the file says. Here the handful of instructions that build plain values are followed, and any
other one — each that names a class, calls something or reaches outside — is refused, with its name. Work and memory are
bounded by the size of the file. Strings of Python 2 are read as UTF-8, or as Latin-1 where they are not.
"""

from __future__ import annotations

import codecs
import pickletools
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from unboxed.errors import DatasetError

__all__ = ["MAX_BYTES", "MAX_DEPTH", "read_plain_pickle"]

MAX_BYTES = 500_000_000
"""A larger file is refused; the largest release of referring expressions has a tenth of it."""

MAX_DEPTH = 32
"""Containers nested deeper than this are refused."""

_MAX_DIGITS = 4000  # of a whole number; Python itself refuses to convert more than 4,300


def read_plain_pickle(path: Path) -> Any:
    """The value that a pickle of any protocol holds.

    Raises:
        DatasetError: no pickle, a truncated one, too large, or one that holds more than plain values.
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
            warnings.simplefilter("ignore")  # Python has opinions on how backslashes are written in protocol 0
            return _Machine(content).run()
    except (ValueError, IndexError, KeyError, TypeError, struct.error, OverflowError) as error:
        raise DatasetError(f"{path} is no pickle of plain values ({error}); fetch it again from its release.") from None


_MARK: Any = object()


class _Machine:
    """Follows the instructions of a pickle: a stack, marks on it, and a memo of values to use again."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0
        self.stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        steps = _STEPS
        while True:
            code = self._content[self._at : self._at + 1]
            self._at += 1
            if code == b".":
                value = self.pop()
                if self.stack:
                    raise ValueError("values are left over")
                _check_depth(value)
                return value
            step = steps.get(code)
            if step is None:
                raise ValueError(_refusal(code))
            step(self)

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def take(self, count: int) -> bytes:
        if not 0 <= count <= len(self._content) - self._at:
            raise ValueError("it is truncated")
        self._at += count
        return self._content[self._at - count : self._at]

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def counted(self, form: str) -> bytes:
        return self.take(self.number(form))

    def line(self) -> bytes:
        end = self._content.find(b"\n", self._at)
        if end < 0:
            raise ValueError("it is truncated")
        line = self._content[self._at : end]
        self._at = end + 1
        return line

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise ValueError("a mark where a value belongs")
        return value

    def marked(self) -> list[Any]:
        """The values above the last mark, which go with it."""
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise ValueError("no mark")
        values = self.stack[at + 1 :]
        del self.stack[at:]
        return values

    def last(self, count: int) -> list[Any]:
        return [self.pop() for _ in range(count)][::-1]

    def extend(self, values: list[Any]) -> None:
        self._top(list).extend(values)

    def update(self, pairs: list[Any]) -> None:
        self._top(dict).update(_paired(pairs))

    def add(self, values: list[Any]) -> None:
        self._top(set).update(_keys(values))

    def remember(self, number: int) -> None:
        # A dictionary, so that a large number does not ask for a large memory.
        self._memo[number] = self.stack[-1]

    def recall(self, number: int) -> None:
        self.push(self._memo[number])

    def memoize(self) -> None:
        self.remember(len(self._memo))

    def _top(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            raise ValueError(f"items are added to a {type(self.stack[-1]).__name__}")
        return self.stack[-1]


def _paired(values: list[Any]) -> dict[Any, Any]:
    if len(values) % 2:
        raise ValueError("a key without value")
    return dict(zip(_keys(values[::2]), values[1::2], strict=True))


def _keys(values: list[Any]) -> list[Any]:
    """Values to look up by. Nested tuples are refused: telling two apart can take any time and any depth of stack."""
    for value in values:
        if not isinstance(value, str | bytes | int | float | None):
            raise ValueError(f"a {type(value).__name__} as a key or in a set")
    return values


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _quoted(line: bytes) -> str:
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in b"'\"":
        raise ValueError("a string without quotes")
    return _text(codecs.escape_decode(line[1:-1])[0])


def _whole(line: bytes) -> int:
    digits = line.removesuffix(b"L")
    if len(digits) > _MAX_DIGITS:
        raise ValueError("a number of too many digits")
    return int(digits)


def _decimal(line: bytes) -> int | bool:
    return {b"00": False, b"01": True}[line] if line in (b"00", b"01") else _whole(line)


def _bytes_as_int(content: bytes) -> int:
    if len(content) > _MAX_DIGITS:
        raise ValueError("a number of too many digits")
    return int.from_bytes(content, "little", signed=True)


def _unicode(content: bytes) -> str:
    return content.decode("utf-8", "surrogatepass")


_STEPS: dict[bytes, Callable[[_Machine], Any]] = {
    b"\x80": lambda m: m.take(1),  # the protocol's number
    b"\x95": lambda m: m.take(8),  # the length of a frame, which only helps reading ahead
    b"(": lambda m: m.push(_MARK),
    b"0": lambda m: m.pop(),
    b"1": lambda m: m.marked(),
    b"2": lambda m: m.push(m.stack[-1]),
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"I": lambda m: m.push(_decimal(m.line())),
    b"L": lambda m: m.push(_whole(m.line())),
    b"J": lambda m: m.push(m.number("<i")),
    b"K": lambda m: m.push(m.number("<B")),
    b"M": lambda m: m.push(m.number("<H")),
    b"\x8a": lambda m: m.push(_bytes_as_int(m.counted("<B"))),
    b"\x8b": lambda m: m.push(_bytes_as_int(m.counted("<i"))),
    b"F": lambda m: m.push(float(m.line())),
    b"G": lambda m: m.push(m.number(">d")),
    b"S": lambda m: m.push(_quoted(m.line())),
    b"T": lambda m: m.push(_text(m.counted("<i"))),
    b"U": lambda m: m.push(_text(m.counted("<B"))),
    b"V": lambda m: m.push(m.line().decode("raw-unicode-escape")),
    b"X": lambda m: m.push(_unicode(m.counted("<I"))),
    b"\x8c": lambda m: m.push(_unicode(m.counted("<B"))),
    b"\x8d": lambda m: m.push(_unicode(m.counted("<Q"))),
    b"B": lambda m: m.push(m.counted("<I")),
    b"C": lambda m: m.push(m.counted("<B")),
    b"\x8e": lambda m: m.push(m.counted("<Q")),
    b"]": lambda m: m.push([]),
    b"l": lambda m: m.push(m.marked()),
    b"a": lambda m: m.extend(m.last(1)),
    b"e": lambda m: m.extend(m.marked()),
    b")": lambda m: m.push(()),
    b"t": lambda m: m.push(tuple(m.marked())),
    b"\x85": lambda m: m.push(tuple(m.last(1))),
    b"\x86": lambda m: m.push(tuple(m.last(2))),
    b"\x87": lambda m: m.push(tuple(m.last(3))),
    b"}": lambda m: m.push({}),
    b"d": lambda m: m.push(_paired(m.marked())),
    b"s": lambda m: m.update(m.last(2)),
    b"u": lambda m: m.update(m.marked()),
    b"\x8f": lambda m: m.push(set()),
    b"\x90": lambda m: m.add(m.marked()),
    b"\x91": lambda m: m.push(frozenset(_keys(m.marked()))),
    b"p": lambda m: m.remember(_whole(m.line())),
    b"q": lambda m: m.remember(m.number("<B")),
    b"r": lambda m: m.remember(m.number("<I")),
    b"\x94": lambda m: m.memoize(),
    b"g": lambda m: m.recall(_whole(m.line())),
    b"h": lambda m: m.recall(m.number("<B")),
    b"j": lambda m: m.recall(m.number("<I")),
}


def _refusal(code: bytes) -> str:
    if not code:
        return "it is truncated"
    name = next((known.name for known in pickletools.opcodes if known.code.encode("latin-1") == code), None)
    return "it is not in pickle's format" if name is None else f"its instruction {name} asks for more than plain values"


def _check_depth(value: Any) -> None:
    """Refuses deep nesting and containers that hold themselves, without recursion of its own."""
    level, depth = [value], 0
    while level:
        if depth > MAX_DEPTH:
            raise ValueError(f"containers nested deeper than {MAX_DEPTH}, or in themselves")
        inside: dict[int, Any] = {}  # a container used many times is looked into once a level
        for container in level:
            if isinstance(container, list | tuple | dict):
                parts = container.values() if isinstance(container, dict) else container
                inside.update((id(part), part) for part in parts if isinstance(part, list | tuple | dict))
        level, depth = list(inside.values()), depth + 1
