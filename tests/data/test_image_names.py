"""A name in a table finds the file that it means, or the near file is named."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from unboxed.data.image_files import list_folder
from unboxed.data.image_search import ImageFolder, find_images
from unboxed.errors import DatasetError


def _stored(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6)).save(folder / name, "JPEG")
    return folder


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("train\\1.jpg", "train/1.jpg"),
        ("C:\\photos\\train\\1.jpg", "train/1.jpg"),
        ("/home/other/photos/train/1.jpg", "train/1.jpg"),
        ("1.jpg", "train/1.jpg"),
        ("img_1.jpg", "IMG_1.JPG"),
        ("a.jpg", "a.jpeg"),
        ("a", "a.JPEG"),
        ("a%20b.jpg", "a b.jpg"),
        ("https://example.org/pictures/a%20b.jpg?width=3", "a b.jpg"),
        (unicodedata.normalize("NFC", "café.jpg"), unicodedata.normalize("NFD", "café.jpg")),
        (unicodedata.normalize("NFD", "café.jpg"), unicodedata.normalize("NFC", "café.jpg")),
        ("COCO_train2014_000000000009.jpg", "000000000009.jpg"),
        ("000000000009.jpg", "val2014/COCO_val2014_000000000009.jpg"),
        ("9", "000000000009.jpg"),
        (" a.jpg ", "a.jpg"),
        ("my+red_dog.jpg", "my red dog.jpg"),
        ("/data/upload/1/8f2b1c3d-a.jpg", "a.jpg"),
        ("/data/local-files/?d=photos/a%20b.jpg", "photos/a b.jpg"),
        ("https://host/a.jpg?width=100", "a.jpg"),
        ("http://[x]/a.jpg", "a.jpg"),
    ],
)
def test_a_name_finds_the_file_that_it_means(name: str, file: str, tmp_path: Path) -> None:
    search = find_images(_stored(tmp_path, file, "others/b.jpg"), {"x": (name,)}, outside=True)
    assert search.found["x"].path == tmp_path / file and not search.missing


@pytest.mark.parametrize(
    ("name", "files", "hint"),
    [
        ("1.jpg", ("a/1.jpg", "b/1.jpg"), "there is a/1.jpg and b/1.jpg"),
        ("1.jpg", ("1.png",), "there is 1.png"),
        ("000001.jpg", ("000001 (copy).jpg",), "there is 000001 (copy).jpg"),
        ("photo_1.jpg", ("photo_1_small.jpg",), "there is photo_1_small.jpg"),
        ("beach.jpg", ("beech.jpg",), "there is beech.jpg"),
        ("img_12.jpg", ("img_13.jpg",), ""),
        ("a/1.jpg", ("a/2.jpg", "b/1.jpg"), "there is b/1.jpg"),  # a/ exists: its 1.jpg is not that of b/
        ("train/1.jpg", ("val/1.jpg",), "there is val/1.jpg"),
    ],
)
def test_a_name_that_means_no_file_comes_with_the_near_one(
    name: str, files: tuple[str, ...], hint: str, tmp_path: Path
) -> None:
    search = find_images(_stored(tmp_path, *files), {name: (name,)})
    assert search.missing == (name,) and search.hints.get(name, "") == hint


def test_no_two_names_find_one_file(tmp_path: Path) -> None:
    folder = _stored(tmp_path, "1.jpg", "02.jpg")
    search = find_images(folder, {name: (name,) for name in ("1.jpg", "1.JPG", "2.jpg", "002.jpg")})
    assert {name: image.path.name for name, image in search.found.items()} == {"1.jpg": "1.jpg"}
    assert search.missing == ("1.JPG", "2.jpg", "002.jpg")


def test_only_the_table_of_a_person_names_files_out_of_the_folder(tmp_path: Path) -> None:
    inside, other = _stored(tmp_path / "in", "1.jpg"), _stored(tmp_path / "other", "2.jpg")
    for name in ("../other/2.jpg", f"{other}/2.jpg"):
        search = ImageFolder(inside).find([name], outside=True)
        assert [image.path.resolve() for image in search.found.values()] == [(other / "2.jpg").resolve()]
    assert ImageFolder(inside).find([f"{other}/2.jpg"]).missing == (f"{other}/2.jpg",)
    assert ImageFolder(inside).find([f"{inside}/1.jpg"]).found
    with pytest.raises(DatasetError, match="lies outside"):
        ImageFolder(inside).find(["../other/2.jpg"])


def test_links_are_followed_once_and_what_is_no_image_is_counted(tmp_path: Path) -> None:
    folder = _stored(tmp_path / "in", "1.jpg", "sub/2.jpg", "._1.jpg", "__MACOSX/3.jpg", ".cache/4.jpg")
    (folder / "linked").symlink_to(_stored(tmp_path / "other", "5.jpg"))
    (folder / "loop").symlink_to(folder)
    (folder / "gone.jpg").symlink_to(tmp_path / "nothing.jpg")
    for name in ("a.cr2", "notes.txt"):
        (folder / name).write_bytes(b"1")
    listing = list_folder(folder)
    assert [file.relative_to(folder).as_posix() for file in listing.images] == ["1.jpg", "linked/5.jpg", "sub/2.jpg"]
    assert listing.left_out == {
        "with a hidden name": ("._1.jpg",),
        "behind a link to nothing": ("gone.jpg",),
        "in another format; convert to JPEG or PNG": ("a.cr2",),
    }
