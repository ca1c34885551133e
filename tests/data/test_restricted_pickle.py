"""Pickles of plain values are read as Python reads them; anything else is refused and never run."""

from __future__ import annotations

import collections
import datetime
import pickle
import pickletools
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unboxed.data.restricted_pickle import MAX_DEPTH, _PlainUnpickler, read_plain_pickle
from unboxed.errors import DatasetError

_scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(max_size=300)
_keys = st.text() | st.integers()
_values = st.recursive(
    _scalars,
    lambda inside: (
        st.lists(inside) | st.tuples(inside, inside) | st.dictionaries(_keys, inside) | st.sets(st.integers())
    ),
    max_leaves=20,
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a pickle is written to be read."""
    return tmp_path_factory.mktemp("pickle") / "refs.p"


def _read(file: Path, content: bytes) -> Any:
    file.write_bytes(content)
    return read_plain_pickle(file)


def _is_built_by_a_call(value: Any, protocol: int) -> bool:
    """Old protocols have no instruction for bytes and sets: they write a call of `bytes` and `set`."""
    if isinstance(value, set | frozenset):
        return protocol < 4
    if isinstance(value, bytes):
        return protocol < 3
    if isinstance(value, dict):
        value = list(value.values())
    return isinstance(value, list | tuple) and any(_is_built_by_a_call(part, protocol) for part in value)


@given(_values, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_plain_values_are_read_as_python_reads_them(file: Path, value: Any, protocol: int) -> None:
    content = pickle.dumps(value, protocol)
    if _is_built_by_a_call(value, protocol):
        with pytest.raises(DatasetError, match="asks for more than plain values"):
            _read(file, content)
    else:
        assert _read(file, content) == value


@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda junk: pickle.dumps([{"a": [1, "b"]}], 2)[:-1] + junk))
def test_any_bytes_give_a_value_or_our_own_error(file: Path, content: bytes) -> None:
    try:
        _read(file, content)
    except DatasetError as error:
        assert str(file) in str(error)


class _Runs:
    """Its pickle calls a function when it is loaded by Python."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("this must never be printed",)


@given(_values, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_whatever_calls_something_is_refused(file: Path, value: Any, protocol: int) -> None:
    with pytest.raises(DatasetError, match="asks for more than plain values"):
        _read(file, pickle.dumps([value, {"a": _Runs()}], protocol))


@pytest.mark.parametrize(
    "value", [datetime.date(2020, 1, 1), collections.OrderedDict(a=1), pickle.PickleError, print, 1j]
)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_objects_are_refused(file: Path, value: Any, protocol: int) -> None:
    with pytest.raises(DatasetError, match="asks for more than plain values"):
        _read(file, pickle.dumps(value, protocol))


def test_strings_of_python_2(file: Path) -> None:
    """`'caf\\xc3\\xa9'` in UTF-8 and `'caf\\xe9'` in Latin-1, as Python 2 wrote them in its three protocols."""
    short = b"\x80\x02]q\x00(U\x05caf\xc3\xa9q\x01U\x04caf\xe9q\x02X\x05\x00\x00\x00caf\xc3\xa9q\x03e."
    long = b"(lT" + struct.pack("<i", 5) + b"caf\xc3\xa9" + b"aT" + struct.pack("<i", 4) + b"caf\xe9aVcaf\\xe9\na."
    written = b"(lp0\nS'caf\\xc3\\xa9'\np1\naS'caf\\xe9'\np2\naVcaf\xe9\np3\na."
    assert _read(file, short) == _read(file, written) == ["café"] * 3
    assert _read(file, long)[:2] == ["café"] * 2
    assert _read(file, b"(dp0\nS'a'\nI01\nsS'b'\nI12\nsS'c'\nL34L\nsS\"it's\"\nF0.5\ns.") == {
        "a": True,
        "b": 12,
        "c": 34,
        "it's": 0.5,
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "truncated"),
        (b"not a pickle", "asks for more|not in pickle's format"),
        (pickle.dumps([1, 2])[:-3], "truncated|no pickle"),
        (b"\x80\x04\x8e" + b"\xff" * 8 + b".", "exceeds"),  # a string of 2^64 bytes
        (b"\x80\x04\x8e" + b"\xff" * 7 + b"\x3f.", "truncated"),  # and one of 2^62
        (b"]r\xff\xff\xff\xff.", None),  # a memo place that would ask Python's own reader for 64 GB
        (b"]" * (MAX_DEPTH + 2) + b"a" * (MAX_DEPTH + 1) + b".", "nested deeper"),
        (b"]q\x00h\x00a.", "nested deeper .* or in themselves"),
        (b"}" + b")" + b"\x85" * 100_000 + b"K\x01s.", "a tuple as a key"),  # hashing it would overflow the stack
        (b"I" + b"9" * 100_000 + b"\n.", r"limit \(4300 digits\)"),
        (b"(lp0\n" + pickle.dumps(1 << 40_000, 2)[2:-1] + b"a.", "too many digits"),
        (b"}(K\x01u.", "a key without value"),
        (b"K\x01K\x02.", "left over"),
        (b"(.", "a mark"),
    ],
)
def test_hostile_and_damaged_files(file: Path, content: bytes, message: str | None) -> None:
    if message is None:
        assert _read(file, content) == []
        return
    with pytest.raises(DatasetError, match=message):
        _read(file, content)


REFUSED = (
    "GLOBAL STACK_GLOBAL REDUCE BUILD INST OBJ NEWOBJ NEWOBJ_EX PERSID BINPERSID EXT1 EXT2 EXT4 BYTEARRAY8 NEXT_BUFFER "
    "READONLY_BUFFER"
)


def test_every_instruction_is_either_plain_or_refused_by_its_name(file: Path) -> None:
    refused = {code.name for code in pickletools.opcodes if ord(code.code) not in _PlainUnpickler.dispatch}
    assert refused == set(REFUSED.split())
    for name in refused:
        with pytest.raises(DatasetError, match=f"its instruction {name} asks for more than plain values"):
            _read(file, b"](" + getattr(pickle, name) + b"\x01\n.")


@pytest.mark.parametrize(
    "content",
    [pickle.dumps(print, 0), pickle.dumps(print, 4), b"(iposix\nsystem\n.", b"Pid\n.", b"K\x01Q.", b"\x82\x01."],
)
def test_nothing_is_looked_up_even_where_the_instructions_are_followed(
    file: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second line of defence: classes, persistent ids and extension codes have no meaning."""
    monkeypatch.setattr(_PlainUnpickler, "dispatch", pickle._Unpickler.dispatch)
    with pytest.raises(DatasetError, match="is more than a plain value"):
        _read(file, content)


def test_a_file_that_is_too_large_is_not_read(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unboxed.data.restricted_pickle.MAX_BYTES", 10)
    with pytest.raises(DatasetError, match="has 11 bytes, the limit is 10"):
        _read(file, b"x" * 11)


def test_a_value_used_over_and_over_takes_no_time(file: Path) -> None:
    """Each list holds the one before twice: 2^30 lists to whoever walks through all of them."""
    content = b"]q\x00"
    for n in range(30):
        content += b"0](h" + bytes([n, ord("h"), n]) + b"eq" + bytes([n + 1])
    value = _read(file, content + b".")
    assert len(value) == 2 and value[0] is value[1]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="No such file"):
        read_plain_pickle(tmp_path / "refs(unc).p")


class Named:
    """An object whose attributes are read where its class is named."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


@given(st.dictionaries(st.text(), _values), st.integers(2, pickle.HIGHEST_PROTOCOL))
def test_objects_of_named_classes_are_read_as_their_attributes(
    file: Path, attributes: dict[str, Any], protocol: int
) -> None:
    content = pickle.dumps(Named(**attributes), protocol)
    file.write_bytes(content)
    if not any(_is_built_by_a_call(value, protocol) for value in attributes.values()):
        assert read_plain_pickle(file, records=[(__name__, "Named")]) == attributes
    for records in ([], [("other", "Named"), (__name__, "Other")]):
        with pytest.raises(DatasetError, match="plain value"):
            read_plain_pickle(file, records=records)


@pytest.mark.parametrize(
    "content",
    [
        b"cos\nsystem\n(S'true'\ntR.",  # a call
        b"\x80\x02cvocab\nVocabulary\n)R.",  # a call of a named class
        b"\x80\x02cvocab\nVocabulary\nK\x01\x85\x81.",  # an argument
        b"\x80\x02X\x02\x00\x00\x00os)\x81.",  # an object of a class that is not named
        b"\x80\x02]}X\x01\x00\x00\x00aK\x01sb.",  # attributes of a list
        b"\x80\x02cvocab\nVocabulary\n)\x81}K\x01K\x02sb.",  # an attribute without a name
        b"\x80\x02cvocab\nVocabulary\n)\x81}X\x01\x00\x00\x00aK\x01s}\x86b.",  # attributes in slots
        b"\x80\x02)\x81.",  # no class
    ],
)
def test_nothing_else_is_read_with_named_classes(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(DatasetError):
        read_plain_pickle(file, records=[("vocab", "Vocabulary")])
