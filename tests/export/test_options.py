"""The options of `unboxed label`: which selection they stand for, and that reading them loads nothing heavy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from unboxed.errors import ExportError
from unboxed.export.options import FORMATS, LabelOptions, SelectionOptions

RUN, OUT = Path("run"), Path("boxes.json")


@pytest.mark.parametrize(
    ("calibrated", "given", "used"), [(True, None, 0.0), (False, None, 0.3), (True, 0.7, 0.7), (False, 0.0, 0.0)]
)
def test_without_a_calibration_low_scores_are_cut_by_default(
    calibrated: bool, given: float | None, used: float
) -> None:
    assert LabelOptions(RUN, OUT, min_score=given).selection(calibrated).min_score == used


def test_all_options_of_a_selection_are_passed_on() -> None:
    options = LabelOptions(RUN, OUT, min_confidence=0.2, min_score=0.1, top=3, names="types", merge=0.9, min_boxes=4)
    assert options.selection(True) == SelectionOptions(0.1, 0.2, 3, "types", 0.9, 4)
    with pytest.raises(ExportError, match="top is 0"):
        LabelOptions(RUN, OUT, top=0).selection(True)
    with pytest.raises(ExportError, match="no format 'voc'"):
        LabelOptions(RUN, OUT, format="voc").selection(True)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.key)
def test_a_format_whose_labels_are_phrases_sets_names_and_merging(form: object) -> None:
    selection = LabelOptions(RUN, OUT, format=form.key, names="types", merge=0.5).selection(True)  # type: ignore[attr-defined]
    expected = ("phrases", 1.0) if form.key == "hf" else ("types", 0.5)  # type: ignore[attr-defined]
    assert (selection.names, selection.merge) == expected


def test_the_options_load_nothing_heavy() -> None:
    code = "import sys, unboxed.export.options\nassert not {'torch', 'numpy', 'PIL'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
