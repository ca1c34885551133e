"""Splits are found by all of their usual names: in the dataset file, in options, in names of files and folders."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from unboxed.data.dataset import Dataset, load_dataset
from unboxed.data.readers.huggingface import split_of_path
from unboxed.data.split_names import SPLIT_NAMES, split_meant, split_named
from unboxed.errors import DatasetError
from unboxed.evaluation.options import EvaluationOptions
from unboxed.evaluation.split_regions import chosen_split
from unboxed.training.splits import training_and_validation


def _dataset(folder: Path, **counts: int) -> Dataset:
    """A table and a dataset file with a list of so many images for each split."""
    rows = []
    for split, count in counts.items():
        names = [f"{split}{number}.png" for number in range(count)]
        for name in names:
            Image.new("RGB", (8, 8)).save(folder / name)
        rows += [f"{name},a picture" for name in names]
        (folder / f"{split}.txt").write_text("\n".join(names))
    (folder / "captions.csv").write_text("\n".join(["image,caption", *rows]))
    lists = "".join(f'{split} = "{split}.txt"\n' for split in counts)
    (folder / "data.toml").write_text(
        f'format = "table"\nimages = "."\nannotations = "captions.csv"\n[splits]\n{lists}'
    )
    return load_dataset(folder / "data.toml")


@pytest.mark.parametrize("stored", ["val", "validation", "valid", "dev", "eval"])
@pytest.mark.parametrize("asked", ["val", "validation", "valid", "dev", "eval", "Validation"])
def test_a_split_is_found_by_every_usual_name(tmp_path: Path, stored: str, asked: str) -> None:
    dataset = _dataset(tmp_path, training=4, **{stored: 2}, testing=1)
    assert dataset.split(asked).name == stored, "reports call it as the dataset does"
    assert len(dataset.split("test").examples) == 1
    assert [split.name for split in training_and_validation(dataset)] == ["training", stored]
    found = chosen_split(dataset, EvaluationOptions(split=asked), print)
    assert [example.image_id for example in found.examples] == [f"{stored}0.png", f"{stored}1.png"]


def test_of_two_splits_of_one_meaning_the_one_of_the_exact_name_is_meant(tmp_path: Path) -> None:
    dataset = _dataset(tmp_path, train=2, dev=2, val=3)
    assert [dataset.split(name).name for name in ("dev", "val", "validation")] == ["dev", "val", "dev"]


def test_what_training_holds_out_has_the_other_names_of_val_too(tmp_path: Path) -> None:
    dataset = _dataset(tmp_path, training=20)
    val, validation = (
        [example.image_id for example in chosen_split(dataset, EvaluationOptions(split=name), print).examples]
        for name in ("val", "validation")
    )
    assert val == validation != []


def test_where_nothing_can_be_held_out_the_error_names_the_split_of_all_images(tmp_path: Path) -> None:
    dataset = _dataset(tmp_path, training=3)
    with pytest.raises(DatasetError, match=r"has no split 'val', and too few .* evaluate all with --split all"):
        chosen_split(dataset, EvaluationOptions(split="val"), print)
    assert len(chosen_split(dataset, EvaluationOptions(split="all"), print).examples) == 3


def test_an_unknown_name_is_refused_with_the_splits_that_exist(tmp_path: Path) -> None:
    dataset = _dataset(tmp_path, training=2, dev=2)
    with pytest.raises(DatasetError, match="has no split 'test'; expected one of: training, dev, all"):
        dataset.split("test")


def test_all_is_every_image_once(tmp_path: Path) -> None:
    dataset = _dataset(tmp_path, train=3, val=2)
    (tmp_path / "val.txt").write_text("val0.png\nval1.png\ntrain0.png\n")
    (tmp_path / "val1.png").unlink()
    found = dataset.split("all")
    names = sorted(example.image_id for example in found.examples)
    assert names == ["train0.png", "train1.png", "train2.png", "val0.png"]
    assert (found.name, found.missing) == ("all", ("val1.png",))
    assert chosen_split(dataset, EvaluationOptions(split="all"), print).missing == ("val1.png",)


def test_folders_and_files_are_known_by_every_usual_name() -> None:
    for name in SPLIT_NAMES:
        assert split_of_path(f"{name}/a.csv") == split_of_path(f"{name}-0001.parquet") == split_named(name)
    assert split_meant("testA", ["testA", "testB"]) == "testA"
    assert split_meant("test", ["testA", "testB"]) is None
