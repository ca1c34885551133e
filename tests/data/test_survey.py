"""`unboxed init` reports what a folder has, and writes a dataset file that can be trained on."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from unboxed.cli import main
from unboxed.data import load_dataset
from unboxed.data.dataset import Dataset
from unboxed.data.survey import survey_folder, write_dataset_file
from unboxed.errors import DatasetError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images 1, 2 and 3 with a caption each; one is a copy, one broken, one missing, one without a caption."""
    images = tmp_path / "shop" / "images"
    images.mkdir(parents=True)
    for number, name in enumerate(("1", "2", "3", "alone")):
        Image.new("RGB", (40, 30), (20 * number, 9, 90)).save(images / f"{name}.jpg")
    shutil.copy(images / "1.jpg", images / "again.jpg")
    (images / "broken.jpg").write_bytes(b"no image")
    names = ("1", "2", "3", "again", "broken", "gone")
    rows = "".join(f"{name}.jpg,a red dog\n" for name in names)
    (tmp_path / "shop" / "captions.csv").write_text("image,caption\n" + rows)
    return tmp_path / "shop"


def _images(dataset: Dataset) -> set[str]:
    return {example.path.name for name in dataset.split_names for example in dataset.split(name).examples}


def test_init_writes_a_dataset_file_that_can_be_trained_on_and_reports_what_it_found(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["init", str(folder), "--no-measure"])
    shown = capsys.readouterr().err
    for line in (
        "Found: the table captions.csv",
        f"Images: 4 with captions in {folder / 'images'}",
        "Captions: 4, 1 an image, 4 noun phrases",
        "Vocabulary: 3 words, 3 of them more than once",
        "Named in the captions, not found: 1: gone.jpg",
        "Without a caption, not used: 1: alone.jpg",
        "Duplicates, left out: 1: again.jpg (as 1.jpg)",
        f"Wrote {folder / 'data.toml'}. Next: unboxed fit --data {folder / 'data.toml'} --out run",
    ):
        assert line in shown.splitlines()
    assert "Unreadable: 1: broken.jpg (" in shown
    assert _images(load_dataset(folder / "data.toml")) == {"1.jpg", "2.jpg", "3.jpg"}
    assert _images(load_dataset(folder)) == {"1.jpg", "2.jpg", "3.jpg"}  # the folder stands for its data.toml


def test_an_image_that_is_damaged_behind_its_header_is_unreadable(folder: Path) -> None:
    """Such an image is skipped when its regions are found, so that it does not count before either."""
    cut = folder / "images" / "2.jpg"
    Image.effect_noise((400, 300), 80).save(cut)
    cut.write_bytes(cut.read_bytes()[:20_000])
    survey = survey_folder(folder)
    assert list(survey.unreadable) == ["broken.jpg", "2.jpg"]
    assert "is truncated or damaged" in survey.unreadable["2.jpg"]
    assert "Images: 3 with captions" in survey.lines()[1] and sum(survey.split_counts.values()) == 2
    for name in ("1.jpg", "3.jpg", "again.jpg"):
        shutil.copy(cut, folder / "images" / name)
    with pytest.raises(DatasetError, match=r"None of the 4 images can be read; .* is truncated or damaged"):
        survey_folder(folder)


def test_a_long_list_is_cut(folder: Path) -> None:
    table = (folder / "captions.csv").read_text()
    (folder / "captions.csv").write_text(table + "".join(f"gone{k}.jpg,a dog\n" for k in range(8)))
    (line,) = (line for line in survey_folder(folder).lines() if line.startswith("Named in the captions"))
    assert line.endswith(", not found: 9: gone.jpg, gone0.jpg, gone1.jpg, gone2.jpg, gone3.jpg and 4 more")


def test_a_table_of_absolute_paths_is_surveyed_without_its_folder(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "elsewhere" / "my photos.csv"
    table.parent.mkdir()
    table.write_text("image,caption\n" + "".join(f"{folder}/images/{n}.jpg,a red dog\n" for n in ("1", "2", "again")))
    main(["init", str(table), "--no-measure"])
    shown = capsys.readouterr().err.splitlines()
    assert {"Found: the table my photos.csv", "Images: 3 with captions", "Without a caption, not used: 0"} <= set(shown)
    dataset = load_dataset(table.with_suffix(".toml"))
    assert (dataset.name, _images(dataset)) == ("my photos", {"1.jpg", "2.jpg"})


def test_what_cannot_be_surveyed_or_written(folder: Path) -> None:
    for name, message in {
        "images/1.jpg": r"1\.jpg is no table of captions .*; name the folder of the images",
        "a.zip": r"a\.zip is no table of captions .*; unpack it",
        "a.toml": r"a\.toml needs no survey; `unboxed fit --data .* reads it as it is",
    }.items():
        (folder / name).touch()
        with pytest.raises(DatasetError, match=message):
            survey_folder(folder / name)
    os.mkfifo(folder / "pipe.csv")
    with pytest.raises(DatasetError, match=r"pipe\.csv is a pipe, a socket or a device, and no file; save"):
        survey_folder(folder / "pipe.csv")
    with pytest.raises(DatasetError, match="does not exist; name the folder that holds your images"):
        survey_folder(folder / "gone")
    survey = survey_folder(folder)
    with pytest.raises(DatasetError, match="exists already; use it with --data, remove it, or choose another name"):
        write_dataset_file(survey, folder / "captions.csv")
    with pytest.raises(DatasetError, match=r"cannot be written .*; choose another name with --out"):
        write_dataset_file(survey, folder / "captions.csv" / "data.toml")
    write_dataset_file(survey, folder.parent / "new" / 'a "name".toml')
    dataset = load_dataset(folder.parent / "new" / 'a "name".toml')
    assert (dataset.name, _images(dataset)) == ("shop", {"1.jpg", "2.jpg", "3.jpg"})


def test_no_image_is_read_for_a_dataset_file_that_cannot_be_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Dataset, "split", None)
    (folder / "data.toml").touch()
    for out, message in (
        (folder / "data.toml", "exists already"),
        (folder / "data.toml" / "a.toml", "cannot be written"),
    ):
        with pytest.raises(DatasetError, match=f"{message}.*choose another name with --out"):
            survey_folder(folder, out)


@pytest.mark.parametrize("name", ["a\x7fb", "a\tb", 'a"b\\', os.fsdecode(b"caf\xe9")], ids=ascii)
def test_the_dataset_file_of_a_folder_of_any_name_can_be_read(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renamed = folder.rename(folder.with_name(name))
    monkeypatch.chdir(renamed)
    write_dataset_file(survey_folder(Path()), Path("data.toml"))
    assert _images(load_dataset(Path("data.toml"))) == {"1.jpg", "2.jpg", "3.jpg"}


def test_a_path_that_no_dataset_file_can_hold_is_refused(folder: Path) -> None:
    survey = survey_folder(folder)
    latin_1 = folder.with_name(os.fsdecode(b"caf\xe9"))
    folder.rename(latin_1)
    found = replace(survey.found, images=latin_1 / "images", captions=latin_1 / "captions.csv")
    with pytest.raises(DatasetError, match=r"caf\\xe9/images is no UTF-8 text, which a dataset file needs; rename it"):
        write_dataset_file(replace(survey, found=found), folder.with_name("data.toml"))


def test_init_reads_images_of_coco_with_captions(shared_data: Path, tmp_path: Path) -> None:
    main(["init", str(shared_data / "data" / "coco_small"), "--out", str(tmp_path / "coco.toml"), "--no-measure"])
    dataset = load_dataset(tmp_path / "coco.toml")
    assert sum(len(dataset.split(name).examples) for name in dataset.split_names) == 159


def test_images_at_addresses_are_surveyed_without_opening_them(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("a dog\thttp://example.invalid/1.jpg\na cat\thttp://example.invalid/2.jpg\n")
    assert sum(survey_folder(tmp_path / "a.tsv").split_counts.values()) == 2
