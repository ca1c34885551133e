"""Numbers that no command can use end in one line that names their option."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

_HUGE = str(10**21)
_COMMANDS = {
    "regions": ["regions", "DATA", "--out", "OUT"],
    "label": ["label", "DATA", "--run", "RUN", "--out", "OUT"],
    "audit": ["audit", "DATA", "--run", "RUN"],
    "index": ["index", "RUN", "DATA", "--out", "OUT"],
    "search": ["search", "OUT", "a man"],
    "ground": ["ground", "RUN", "DATA", "a man", "--json"],
    "compare": ["compare", "--data", "DATA", "--out", "OUT", "--recipes", "vse"],
    "compare vse": ["compare", "--data", "DATA", "--out", "OUT", "--recipes"],
    "evaluate": ["evaluate", "RUN", "--data", "DATA"],
    "fit": ["fit", "vse", "--data", "DATA", "--out", "OUT"],
    "fit without a recipe": ["fit", "--data", "DATA", "--out", "OUT"],
}


@pytest.mark.parametrize(
    ("command", "option", "values"),
    [
        ("regions", "--workers", ("0", "-1", _HUGE)),
        ("regions", "--grid", ("-1", "2147483648", _HUGE)),
        ("regions", "--pixels", ("-1", _HUGE)),
        ("regions", "--nms", ("nan", "inf", "-1")),
        ("label", "--workers", ("0", "-1", _HUGE)),
        ("label", "--top", ("0", "-1", _HUGE)),
        ("label", "--min-boxes", ("0", _HUGE)),
        ("label", "--merge", ("nan", "2")),
        ("label", "--review-images", ("0", "-1")),
        ("audit", "--top", ("-1", _HUGE)),
        ("audit", "--swapped", ("nan", "0", "1")),
        ("index", "--workers", ("0", "-1", _HUGE)),
        ("search", "--k", ("0", "-1", _HUGE)),
        ("search", "--candidates", ("0", _HUGE)),
        ("ground", "--top", ("0", _HUGE)),
        ("ground", "--part", ("0/1", "1/" + "9" * 5000)),
        ("compare", "--seeds", ("0", "-1", _HUGE)),
        ("compare", "--claim-seeds", ("0", "-1")),
        ("compare", "--jobs", ("0", "-1", _HUGE)),
        ("fit", "--members", ("0", "2147483647")),
        ("fit", "--margin", ("nan", "inf", "1e30")),
        ("fit", "--min-count", ("0", "-1", _HUGE)),
        ("fit", "--train-fraction", ("nan", "0", "2")),
        ("fit", "--devices", ("0", "-1")),
        ("fit without a recipe", "--epochs", ("0", "-1")),
        ("fit without a recipe", "--min-count", ("0", "-1")),
        ("compare vse", "--min-count", ("0", "-1")),
        ("compare vse", "--train-fraction", ("nan", "0")),
        ("evaluate", "--folds", ("0", "-1")),
    ],
)
def test_a_number_out_of_range_is_refused_with_its_option(
    command: str,
    option: str,
    values: tuple[str, ...],
    tiny_run: Path,
    tiny_dataset: Path,
    tmp_path: Path,
    error_line: Callable[..., str],
) -> None:
    paths = {"DATA": tiny_dataset, "RUN": tiny_run, "OUT": tmp_path / "out"}
    for value in values:
        given = f"{option}={value}"
        if command == "compare vse":
            given = f"vse {given}"  # an option of the recipe
        line = error_line(*[paths.get(word, word) for word in _COMMANDS[command]], given)
        name = option.strip("-")
        assert any(word in line for word in (name, name.replace("-", "_"))), line
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").rglob("*.safetensors"))
