"""Texts in tables for LaTeX are read as they are written."""

from __future__ import annotations

from unboxed.experiments.tables import _escaped


def test_options_keep_both_hyphens_and_marks_of_latex_are_escaped() -> None:
    assert _escaped("scan --lambda-lse 5") == r"scan -{}-lambda-lse 5"
    assert _escaped(r"recall_any@1, 95 % {a\b~c^d}") == (
        r"recall\_any@1, 95 \% \{a\textbackslash{}b\textasciitilde{}c\textasciicircum{}d\}"
    )
