"""The image library lists the images of a folder and opens them by id."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from PIL import Image

from unboxed.errors import ImageError, StudioError
from unboxed.studio.image_library import PICTURE_SIZES, ImageLibrary
from unboxed.studio.options import Limits


def _save(path: Path, width: int = 96, height: int = 64) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), "#c22").save(path, "PNG")
    return path


def _size(jpeg: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(jpeg)) as image:
        assert image.format == "JPEG"
        return image.size


def test_subfolders_are_listed_without_hidden_files_and_links_out_of_the_folder(tmp_path: Path) -> None:
    secret = _save(tmp_path / "secret.png")
    folder = tmp_path / "folder"
    _save(folder / "more" / "b.JPG")
    _save(folder / ".hidden.png")
    _save(folder / ".git" / "c.png")
    (folder / "notes.txt").write_text("not an image")
    (folder / "link.png").symlink_to(secret)
    (folder / "away").symlink_to(tmp_path)
    (folder / "inside.png").symlink_to(folder / "more" / "b.JPG")
    assert [image.name for image in ImageLibrary(Limits(), folder).listed] == ["inside.png", "more/b.JPG"]
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "link.png").symlink_to(secret)
    with pytest.raises(StudioError, match="are links that lead out of it, which the studio does not follow"):
        ImageLibrary(Limits(), tmp_path / "links")


def test_names_that_are_no_text_and_links_that_lead_nowhere_do_not_break_the_list(tmp_path: Path) -> None:
    _save(tmp_path / "a.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "gone.png").symlink_to("missing.png")
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xff.png"))
    try:
        _save(odd)
    except OSError:
        pytest.skip("the file system takes names in Unicode only")
    library = ImageLibrary(Limits(), tmp_path)
    assert [image.name for image in library.listed] == ["a.png", "b?.png"]
    assert library.read(library.listed[1])[1].size == (96, 64)


def test_the_images_of_a_table_are_listed_without_the_path_that_they_share(tmp_path: Path) -> None:
    paths = [_save(tmp_path / "shop" / name) for name in ("red/1.png", "blue/1.png")]
    table = tmp_path / "tables" / "photos.csv"
    table.parent.mkdir()
    table.write_text("image,caption\n" + "".join(f"{path},a square\n" for path in paths))
    library = ImageLibrary(Limits(), table)
    assert [image.name for image in library.listed] == ["blue/1.png", "red/1.png"]
    assert {library.read(image)[1].size for image in library.listed} == {(96, 64)}


def test_a_folder_without_images_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StudioError, match="holds no images"):
        ImageLibrary(Limits(), tmp_path)
    with pytest.raises(StudioError, match="does not exist; name a folder of images, or a table"):
        ImageLibrary(Limits(), tmp_path / "missing")
    assert ImageLibrary(Limits()).listed == ()


def test_an_image_has_one_id_that_does_not_contain_its_path(tmp_path: Path) -> None:
    library = ImageLibrary(Limits())
    path = _save(tmp_path / "a.png")
    image = library.add(path, "a")
    assert library.add(path, "another name") is image
    assert library.get(image.image_id) is image
    assert "a.png" not in image.image_id
    assert library.get(str(path)) is None


def test_pictures_are_shrunk_and_thumbnails_are_cached(tmp_path: Path) -> None:
    library = ImageLibrary(Limits())
    image = library.add(_save(tmp_path / "wide.png", 2000, 1000), "wide.png")
    assert _size(library.picture(image, "full")) == (PICTURE_SIZES["full"], PICTURE_SIZES["full"] // 2)
    thumbnail = library.picture(image, "thumbnail")
    assert _size(thumbnail) == (480, 240)
    image.path.unlink()
    assert library.picture(image, "thumbnail") is thumbnail
    with pytest.raises(ImageError, match=r"^The image wide.png is no longer there") as error:
        library.picture(image, "full")
    assert str(tmp_path) not in str(error.value)


def test_errors_name_the_image_without_its_path(tmp_path: Path) -> None:
    library = ImageLibrary(Limits(megapixels=0.001))
    image = library.add(_save(tmp_path / "a.png"), "a.png")
    with pytest.raises(ImageError, match=r"^a.png has 96 x 64 = 6,144 pixels, the limit is 1,000"):
        library.read(image)
