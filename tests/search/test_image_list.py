"""The images to index: those of a folder, of its subfolders, or of a dataset, with their captions."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from unboxed.errors import DatasetError, SearchError
from unboxed.search.image_list import list_images


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with three images, one of them in a subfolder, and something else."""
    for name in ("b.png", "a.jpg", "sub/c.png"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "photos" / name)
    (tmp_path / "photos" / "notes.md").write_text("no image")
    return tmp_path / "photos"


def test_a_folder_without_captions(folder: Path) -> None:
    listed = list_images(folder)
    assert list(listed.images) == ["a.jpg", "b.png", "sub/c.png"] and listed.root == folder.resolve()
    assert all((listed.root / name).samefile(image.path) for name, image in listed.images.items())
    assert not listed.skipped and not any(image.captions for image in listed.images.values())


def test_a_folder_with_captions_of_some_images(folder: Path) -> None:
    (folder / "captions.csv").write_text("image,caption\nb.png,a dog\nb.png,a red dog\ngone.png,a cat\n")
    listed = list_images(folder)
    assert {name: image.captions for name, image in listed.images.items()} == {
        "a.jpg": (), "b.png": ("a dog", "a red dog"), "sub/c.png": (),
    }  # fmt: skip
    assert listed.skipped == {"gone.png": "No file of that name is stored."}


def test_one_split_of_a_folder_has_no_other_images(folder: Path) -> None:
    (folder / "captions.csv").write_text("image,caption,split\nb.png,a dog,train\na.jpg,a cat,val\n")
    assert list(list_images(folder, "val").images) == ["a.jpg"]
    with pytest.raises(DatasetError, match="has no split 'test'"):
        list_images(folder, "test")


def test_images_outside_of_the_folder_are_named_from_the_root_of_the_disk(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "elsewhere" / "d.png")
    (folder / "linked.png").symlink_to(tmp_path / "elsewhere" / "d.png")
    listed = list_images(folder)
    assert listed.root == Path(folder.resolve().anchor)
    assert [Path(name).name for name in listed.images] == ["d.png", "a.jpg", "b.png", "c.png"]
    assert all((listed.root / name).is_file() for name in listed.images)


def test_a_dataset_file_and_what_is_wrong(folder: Path, tmp_path: Path) -> None:
    (folder / "captions.csv").write_text("image,caption\nb.png,a dog\na.jpg,a cat\n")
    listed = list_images(folder / "captions.csv")
    assert list(listed.images) == ["a.jpg", "b.png"] and listed.images["b.png"].captions == ("a dog",)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SearchError, match=r"There are no images in .*empty; expected files that end in \.jpg"):
        list_images(tmp_path / "empty")
    (folder / "data.toml").write_text('format = "unknown"')
    with pytest.raises(DatasetError):  # a folder that says what it is must not be taken for images without captions
        list_images(folder)
