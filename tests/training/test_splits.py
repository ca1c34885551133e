"""Which images are trained on and held out: fixed by the seed, and never fewer than two."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unboxed.data.dataset import Split, load_dataset
from unboxed.errors import DatasetError
from unboxed.training.splits import sample_images, training_and_validation, with_short_captions
from unboxed.types import Caption, Example, Phrase


def _split(count: int) -> Split:
    return Split("train", tuple(Example(str(i), Path(f"{i}.png"), (Caption("a"),), 9, 9) for i in range(count)))


def _dataset(folder: Path, splits: dict[str, int]) -> Path:
    """A table with so many images in each split."""
    from PIL import Image

    rows = ["image,caption,split"]
    for split, count in splits.items():
        for number in range(count):
            name = f"{split}{number}.png"
            Image.new("RGB", (8, 8), (number, 0, len(split))).save(folder / name)
            rows.append(f"{name},a picture,{split}")
    (folder / "captions.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder / "captions.csv"


def test_a_tenth_is_held_out_of_a_dataset_without_val(tmp_path: Path) -> None:
    dataset = load_dataset(_dataset(tmp_path, {"train": 40}))
    training, validation = training_and_validation(dataset)
    assert (len(training.examples), len(validation.examples)) == (36, 4)
    ids = {example.image_id for example in (*training.examples, *validation.examples)}
    assert len(ids) == 40
    again = training_and_validation(load_dataset(dataset.path))[1]
    assert [example.image_id for example in again.examples] == [example.image_id for example in validation.examples]


def test_the_splits_of_the_dataset_are_used(tmp_path: Path) -> None:
    training, validation = training_and_validation(load_dataset(_dataset(tmp_path, {"train": 5, "val": 3})))
    assert (len(training.examples), len(validation.examples)) == (5, 3)


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"test": 4}, "has no split `train`, only test; name its list of images"),
        ({"train": 3}, "1 of its 3 images in the split 'train'.*at least two each"),
        ({"train": 4, "val": 1}, "1 of its 5 images in the split 'val'"),
    ],
)
def test_too_few_images_are_named(tmp_path: Path, splits: dict[str, int], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        training_and_validation(load_dataset(_dataset(tmp_path, splits)))


@given(count=st.integers(2, 40), seed=st.integers(0, 9), first=st.floats(0.01, 1), second=st.floats(0.01, 1))
def test_a_smaller_sample_is_part_of_a_larger_one(count: int, seed: int, first: float, second: float) -> None:
    small, large = (sample_images(_split(count), fraction, seed) for fraction in sorted((first, second)))
    ids = [[example.image_id for example in split.examples] for split in (small, large)]
    assert set(ids[0]) <= set(ids[1])
    assert len(ids[0]) == max(round(min(first, second) * count), 2)
    assert ids[0] == sorted(ids[0], key=int), "the order of the dataset is kept"


@pytest.mark.parametrize("fraction", [0, -0.1, 1.1])
def test_a_fraction_is_above_0_and_at_most_1(fraction: float) -> None:
    with pytest.raises(DatasetError, match="--train-fraction"):
        sample_images(_split(4), fraction, 0)


def test_only_the_first_words_of_a_very_long_caption_are_read() -> None:
    text = " ".join(["a red car"] * 2000)
    phrases = tuple(Phrase("a red car", start, start + 9) for start in range(0, len(text), 10))
    long, short = Caption(text, phrases), Caption("a dog", (Phrase("a dog", 0, 5),))
    split = Split("train", (Example("1", Path("1.jpg"), (short, long), 9, 9),))
    lines: list[str] = []
    kept, cut = with_short_captions(split, lines.append).examples[0].captions
    assert kept is short and len(cut.text.split()) == 200 and len(cut.phrases) == 66
    assert lines == ["The first 200 words of 1 caption of train are read; the rest is left out"]
    assert with_short_captions(replace(split, examples=()), lines.append).examples == () and len(lines) == 1
