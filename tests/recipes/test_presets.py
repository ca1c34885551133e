"""Presets: the settings of the original codes, as recorded in `golden/defaults.json`, and the defaults by name."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from unboxed.data.dataset import load_dataset
from unboxed.errors import RunError
from unboxed.recipes import RECIPES, preset, recipe_from_dict, recipe_to_dict
from unboxed.recipes.idle_options import idle_options
from unboxed.recipes.presets import DATASETS, dataset_kind, flat_options, paper_settings
from unboxed.training.options import FitSettings
from unboxed.training.preset_tables import with_tables


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


@pytest.mark.parametrize(
    ("toml", "captions", "kind"),
    [
        ("", "captions.csv", "flickr30k"),
        ('name = "MS COCO, a part"\n', "captions.csv", "coco"),
        ("", "captions_coco.csv", "coco"),
    ],
)
def test_the_kind_of_a_dataset_is_read_from_its_names(toml: str, captions: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / captions).write_text("image,caption\na.jpg,a cat\n", encoding="utf-8")
    file = tmp_path / "data.toml"
    file.write_text(f'{toml}format = "table"\nimages = "."\nannotations = "{captions}"\n', encoding="utf-8")
    assert dataset_kind(load_dataset(file)) == kind


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


def test_the_table_names_apart_what_has_no_effect_beside_a_given_option() -> None:
    """The N-pair loss has no margin: its value of the original is not listed as if training used it."""
    paper = preset("scan", "paper")
    given = replace(paper.config, contrast="npair")
    *rows, without = paper.lines(given, paper.fit, idle_options(given))
    assert without.startswith("  Without effect here: ") and "--margin 0.2" in without and "--hinge sum" in without
    assert not any("--margin" in row or "--hinge" in row for row in rows)
    assert any("--margin 0.2" in row for row in paper.lines(paper.config, paper.fit, idle_options(paper.config)))
    both = replace(given, margin=0.5)  # given, and without effect: one row, which says that it was given
    (row,) = [row for row in paper.lines(both, paper.fit, idle_options(both)) if "--margin" in row]
    assert row.endswith("given; paper: 0.2")


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_prior_that_is_chosen_beside_the_originals_settings_ranks_boxes_as_by_default(recipe: str) -> None:
    """The originals have no such prior: with a weight of 0 for it, `--prior semantic` would have no effect."""
    assert preset(recipe, "paper").config.ranking.prior_weight == RECIPES[recipe]().ranking.prior_weight


def test_the_codes_that_count_the_full_batches_of_an_epoch_leave_out_the_rest() -> None:
    assert {recipe for recipe in RECIPES if preset(recipe, "paper").config.schedule.drop_last} == {"ckd", "sprm"}


RECORDED = json.loads((Path(__file__).parents[1] / "golden" / "defaults.json").read_text(encoding="utf-8"))["methods"]
TABLES = {name: table for name, table in paper_settings().items() if name not in ("every", "why")}
FIT = {field.name: field.default for field in fields(FitSettings)}

MEANS: dict[str, dict[Any, str]] = {
    "ramp": {"stairs": "step // 500"},
    "student": {"cosine": "bare cosines"},
    "unit_vectors": {False: "taken apart (--do_oov)"},
    "affinities": {"plain": "mean of head words against labels"},
    "places": {"released": "baseline"},
    "heads": {"all": "roots of the noun chunks, else the last word"},
    "aggregation": {"mean": "Mean"},
    "bidirectional": {True: "mean of the two directions", False: "of one direction|one direction|LSTM over"},
    "both_ways": {False: "caption picks image only"},
    "captions_per_image": {1: "last batch dropped"},
    "cell": {"lstm": "LSTM"},
    "cells": {14: "224 x 224"},  # VGG-19 without its last pooling has a cell for 16 pixels
    "clip": {0.0: "none"},
    "context": {True: "LSTM"},
    "contrast": {"hinge": "hardest", "difference": "neg1_max"},
    "curve": {"step": "x 0.1 every", "constant": "constant"},
    "drop_last": {True: "last batch dropped"},
    "dropout": {0.0: "off|none"},
    "embedding_init": {"uniform": "uniform(-0.1, 0.1)"},
    "evidence": {"label": "against labels"},
    "hinge": {"sum": "sum over the batch"},
    "imgnorm": {True: "image regions and words|VSE0: all, with --no_imgnorm"},
    "layer_width": {"input": "that of the input"},
    "map": {"features": "3 x 3 convolution"},
    "mask_empty_blocks": {False: "15 slots"},
    "match": {("vectors",): "head words against labels"},
    "min_count": {1: "no threshold|unknown words are index 1|GloVe vectors"},
    "optimizer": {"adam": "Adam", "sgd": "SGD, momentum 0.9"},
    "phrase_pooling": {"max": "maximum over words", "last": "last state"},
    "phrase_reads": {"phrase": "LSTM"},
    "phrase_weight": {0.0: "caption picks image only"},
    "prior_temperature": {1.0: "head words against labels"},
    "reduction": {"mean": "Avg_Both"},
    "refinement_hidden": {0: "one linear map"},
    "region_inputs": {"features": "map|convolution|feature"},
    "sampling": {"captions": "last batch dropped|5 for Flickr30K", "replacement": "with replacement"},
    "negative": {"vectors": "neg1_max"},
    "box_inputs": {True: "normalised box and area"},
    "label_vectors": {True: "plus the label's vector"},
    "scaled_features": {True: "(feature - mean) / deviation, two constants"},
    "select_on": {"retrieval": "highest rsum", "loss": "lowest loss|boxes|no rule"},
    "sentence_score": {"sum": "sum over phrases"},
    "sentence_weight": {1.0: "caption picks image only"},
    "start_end_words": {True: "<start>"},
    "step_epochs": {9: "every 10 epochs (epochs count from 1)"},
    "teacher_temperature": {1.0: "softmax(probability - mean of the 8)"},  # what is subtracted has no effect
    "text_pooling": {"last": "last state"},
    "tokenizer": {"treebank": "nltk word_tokenize|SCAN's vocabulary", "spaces": "split at spaces"},
    "train_vectors": {True: "uniform|trainable copy", False: "frozen|fixed"},
    "txtnorm": {True: "image regions and words"},
    "use_abs": {False: "Order0: order, --use_abs"},
    "validation_captions": {5000: "highest rsum on dev|first 5000"},
    "warm_up": {0.0: "hardest"},
    "weight_decay": {0.0: "weight decay 0|0 (the option's"},
    "word_state": {"mean": "mean of the two directions|one direction|LSTM over"},
    "words_weight": {0.0: "Avg_Both"},
}
"""What a value means in the words of `defaults.json`, one of the alternatives; other values are written there as they
are."""


def _meaning(option: str, value: Any) -> str:
    value = tuple(value) if isinstance(value, list) else value
    number = f"{value:g}" if isinstance(value, float) else str(value)
    return MEANS.get(option, {}).get(value, number)


def _all_options(recipe: str) -> dict[str, dict[str, Any]]:
    default = flat_options(RECIPES[recipe]())
    every = {name: option for name, option in paper_settings()["every"]["options"].items() if name in default}
    return {**every, **TABLES[recipe]["options"]}


def test_every_recipe_has_a_table() -> None:
    assert list(TABLES) == list(RECIPES)


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_option_is_listed_and_every_listed_option_exists(recipe: str) -> None:
    options, known = _all_options(recipe), flat_options(RECIPES[recipe]())
    assert set(known) - set(options) == set()
    assert set(options) - set(known) - set(FIT) == set()
    keys = {"value", "setting", "source", "note", "needs", "idle"}
    assert all(set(option) <= keys and option for option in options.values())


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recorded_setting_is_an_option_or_said_to_be_given(recipe: str) -> None:
    table = TABLES[recipe]
    recorded = {name for method in table["methods"] for name in RECORDED[method]["settings"]}
    stands_for = {option["setting"] for option in table["options"].values() if "setting" in option}
    assert table["source"] == RECORDED[table["methods"][0]]["source"]
    assert (stands_for | set(table["given"])) == recorded
    assert stands_for & set(table["given"]) == set()


@pytest.mark.parametrize("recipe", RECIPES)
def test_values_and_sources_are_those_recorded(recipe: str) -> None:
    methods = TABLES[recipe]["methods"]
    settings = {k: v for method in reversed(methods) for k, v in RECORDED[method]["settings"].items()}
    for name, option in TABLES[recipe]["options"].items():
        if "setting" not in option:
            continue
        recorded = settings[option["setting"]]
        assert option["source"] == " ".join(recorded["read_in"]), name
        if "value" not in option:
            continue
        value, found = option["value"], recorded["value"]
        if isinstance(found, str) or (isinstance(found, dict) and set(found) != set(DATASETS)):
            alternatives = _meaning(name, value).split("|")
            assert any(text in str(found) for text in alternatives), f"{name} {value!r}: {found}"
        else:
            assert value == found, name


@pytest.mark.parametrize("dataset", ["flickr30k", "coco"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_preset_is_a_config_of_its_recipe(recipe: str, dataset: str) -> None:
    paper = preset(recipe, "paper", dataset)
    assert recipe_from_dict(recipe, recipe_to_dict(paper.config)) == paper.config
    FitSettings(Path(), Path(), **paper.fit)


def test_the_reasons_are_of_the_options_that_differ() -> None:
    differing = set()
    for recipe in RECIPES:
        paper, default = flat_options(preset(recipe, "paper").config), flat_options(RECIPES[recipe]())
        differing |= {name for name, value in paper.items() if value != default[name]}
    assert differing == set(paper_settings()["why"])


def test_the_page_has_the_tables_of_this_version() -> None:
    """Otherwise: python -m unboxed.training.preset_tables docs/presets.md"""
    page = (Path(__file__).parents[2] / "docs" / "presets.md").read_text(encoding="utf-8")
    assert page == with_tables(page)
