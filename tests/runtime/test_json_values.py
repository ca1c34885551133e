"""JSON values of dataclasses: what is written is read back, and what does not fit is named with its field."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unboxed.runtime.json_values import FieldHooks, UnknownFieldError, WrongKindError, from_json, to_json


@dataclass(frozen=True)
class Inner:
    count: int = 1
    files: tuple[Path, ...] = ()
    rate: float | None = None
    mode: Literal["fast", "slow"] = "fast"

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ArithmeticError("count is negative")


@dataclass(frozen=True)
class Outer:
    inner: Inner = Inner()
    on: bool = True
    size: tuple[int, str] = (1, "px")
    hex: int = 0


inners = st.builds(
    Inner,
    st.integers(min_value=0),
    st.lists(st.sampled_from([Path("a"), Path("b/c")])).map(tuple),
    st.none() | st.integers() | st.floats(allow_nan=False),
    st.sampled_from(["fast", "slow"]),
)


@given(st.builds(Outer, inners, st.booleans(), st.tuples(st.integers(), st.text()), st.integers()))
def test_any_value_is_read_back_as_it_was_written(value: Outer) -> None:
    text = json.dumps(to_json(value))
    again = from_json(Outer, json.loads(text))
    assert again == value
    assert json.dumps(to_json(again)) == text  # 1 stays 1, 1.0 stays 1.0


@pytest.mark.parametrize(
    ("values", "name", "expected"),
    [
        ({"on": 1}, "on", "bool"),
        ({"hex": True}, "hex", "int"),
        ({"hex": 1.0}, "hex", "int"),
        ({"hex": None}, "hex", "int"),
        ({"size": [1]}, "size", "tuple[int, str]"),
        ({"size": "1p"}, "size", "tuple[int, str]"),
        ({"inner": 3}, "inner", "Inner"),
        ({"inner": {"files": "abc"}}, "inner.files", "tuple[Path, ...]"),
        ({"inner": {"files": [1]}}, "inner.files", "tuple[Path, ...]"),
        ({"inner": {"files": ["a\0b"]}}, "inner.files", "tuple[Path, ...]"),
        ({"inner": {"rate": "1"}}, "inner.rate", "float | None"),
        ({"inner": {"mode": "slower"}}, "inner.mode", 'Literal["fast", "slow"]'),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(values: dict[str, Any], name: str, expected: str) -> None:
    with pytest.raises(WrongKindError) as raised:
        from_json(Outer, values)
    assert (raised.value.name, raised.value.expected.replace("'", '"')) == (name, expected)


@pytest.mark.parametrize(
    ("values", "name"), [({"on": True, "of": 1}, "of"), ({"inner": {"counts": 1}}, "inner.counts")]
)
def test_an_unknown_name_is_named(values: dict[str, Any], name: str) -> None:
    with pytest.raises(UnknownFieldError) as raised:
        from_json(Outer, values)
    assert raised.value.name == name


def test_what_the_dataclass_refuses_is_raised_as_it_is() -> None:
    with pytest.raises(ArithmeticError, match="count is negative"):
        from_json(Outer, {"inner": {"count": -1}})


def test_paths_and_single_fields_have_hooks_of_their_own() -> None:
    hooks = {"hex": FieldHooks(lambda text: int(text, 16), hex)}
    value = from_json(Outer, {"hex": "0xff", "inner": {"files": ["a"]}}, lambda text: Path("/root", text), hooks)
    assert (value.hex, value.inner.files) == (255, (Path("/root/a"),))
    written = to_json(value, lambda path: path.name.upper(), hooks)
    assert (written["hex"], written["inner"]["files"]) == ("0xff", ["A"])
    with pytest.raises(WrongKindError, match="hex is 'xyz'; expected int"):
        from_json(Outer, {"hex": "xyz"}, hooks=hooks)
