"""Presets: the settings of the original codes, as recorded in `golden/defaults.json`, and the defaults by name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from unboxed.errors import RunError
from unboxed.recipes import RECIPES, preset
from unboxed.recipes.presets import flat_options


@pytest.mark.parametrize("recipe", RECIPES)
def test_fast_is_the_defaults(recipe: str) -> None:
    fast = preset(recipe, "fast")
    assert fast.config == RECIPES[recipe]()
    assert (fast.fit, fast.entries) == ({}, {})
    assert list(fast.lines(fast.config, {})) == [f"Preset fast of {recipe}: the defaults"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("scan", "papre"), "no preset 'papre'; the presets are paper, fast"),
        (("scam", "paper"), "no recipe 'scam'"),
        (("scan", "paper", "vg"), "No original has values for 'vg'; choose one of flickr30k, coco"),
    ],
)
def test_unknown_names_are_refused(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(RunError, match=message):
        preset(*arguments)


def test_values_that_the_original_has_for_a_dataset_are_chosen() -> None:
    flickr, coco = (preset("scan", "paper", dataset).config.schedule for dataset in ("flickr30k", "coco"))
    assert (flickr.learning_rate, flickr.epochs, flickr.step_epochs) == (2e-4, 30, 15)
    assert (coco.learning_rate, coco.epochs, coco.step_epochs) == (5e-4, 20, 10)


def test_the_table_names_where_each_value_was_read_and_what_was_given() -> None:
    paper = preset("scan", "paper")
    given = replace(paper.config, dropout=0.5, intra_caption=0.1)
    title, *rows, ours = paper.lines(given, {"min_count": 4})
    assert title.startswith("Preset paper of scan, kuanghuei/SCAN@80635573") and title.endswith("Flickr30K")
    found = {row.split("  ")[1]: row.split("  ")[-1].strip() for row in rows}
    assert found["--joint-width 1024"] == "train.py:47"
    assert found["--dropout 0.5"] == "given; paper: 0.0"
    assert found["--intra-caption 0.1"] == "given; paper: 0.0"
    assert found["--min-count 4"] == "vocab.py:104"
    assert ours.startswith("  Not in the original: --negatives none, ") and "--intra-caption" not in ours
    assert set(flat_options(paper.config)) > {"epochs", "match", "pooling", "joint_width"}
