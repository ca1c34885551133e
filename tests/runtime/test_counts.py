"""The range of counts that options give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pytest

from unboxed.errors import SearchError, UnboxedError
from unboxed.runtime.counts import require_count, require_literals, require_workers


def test_a_count_in_its_range_passes() -> None:
    for value in (1, 5, 2**31 - 1):
        require_count("top", value)
    require_count("top", 0, least=0)


@pytest.mark.parametrize(("value", "given"), [(0, "0"), (-1, "-1"), (2**31, "2147483648"), (10**30, "too large")])
def test_another_is_refused_with_its_option(value: int, given: str) -> None:
    with pytest.raises(SearchError, match=f"^top is {given}; expected a number from 1 to 2,147,483,647.$"):
        require_count("top", value, error=SearchError)


def test_workers_have_a_range_of_their_own() -> None:
    require_workers(1024)
    for wrong in (0, -1, 1025):
        with pytest.raises(UnboxedError, match="workers is"):
            require_workers(wrong)


@dataclass
class _Options:
    rule: Literal["sum", "mean"] = "sum"
    logger: Literal["wandb"] | None = None
    width: int = 3


def test_names_are_those_of_the_type() -> None:
    require_literals(_Options("mean", "wandb", 7), SearchError)
    require_literals(_Options(), SearchError)
    with pytest.raises(SearchError, match="--rule is 'Sum'; expected one of sum, mean"):
        require_literals(_Options(rule="Sum"), SearchError)  # type: ignore[arg-type]
    with pytest.raises(SearchError, match="--logger is 'stdout'; expected one of wandb, none"):
        require_literals(_Options(logger="stdout"), SearchError)  # type: ignore[arg-type]
