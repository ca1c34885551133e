"""The options of `unboxed label`: which selection they stand for, and that reading them loads nothing heavy."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from unboxed.errors import ExportError
from unboxed.export import coco
from unboxed.export.label_format import LabelFormat
from unboxed.export.options import FORMATS, SelectionOptions


@pytest.mark.parametrize(
    ("calibrated", "given", "used"), [(True, None, 0.0), (False, None, 0.3), (True, 0.7, 0.7), (False, 0.0, 0.0)]
)
def test_without_a_calibration_low_scores_are_cut_by_default(
    calibrated: bool, given: float | None, used: float
) -> None:
    options = SelectionOptions(min_score=given, top=3)
    assert options.adapted(coco.DATASET, calibrated) == SelectionOptions(min_score=used, top=3)
    assert options.lowest_score == (given or 0)


@pytest.mark.parametrize(
    ("listed", "given", "used"), [(False, None, 0.5), (True, None, 0.9), (True, 0.3, 0.3), (False, 0.0, 0.0)]
)
def test_listed_phrases_need_a_higher_probability_by_default(listed: bool, given: float | None, used: float) -> None:
    adapted = SelectionOptions(min_confidence=given).adapted(coco.DATASET, calibrated=True, listed=listed)
    assert adapted.lowest_confidence == used


@pytest.mark.parametrize(
    "wrong",
    [{"min_score": float("nan")}, {"top": 0}, {"min_confidence": 2}, {"merge": -1}],
)
def test_values_out_of_range_are_errors(wrong: dict[str, Any]) -> None:
    with pytest.raises(ExportError, match=rf"{next(iter(wrong))} is .*expected"):
        SelectionOptions(**wrong)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.key)
def test_a_format_whose_labels_are_phrases_sets_names_and_merging(form: LabelFormat) -> None:
    adapted = SelectionOptions(names="types", merge=0.5).adapted(form, True)
    assert (adapted.names, adapted.merge) == (("phrases", 1.0) if form.key == "hf" else ("types", 0.5))


def test_the_options_load_nothing_heavy() -> None:
    code = "import sys, unboxed.export.options\nassert not {'torch', 'numpy', 'PIL'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
