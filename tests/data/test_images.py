"""Images are decoded to upright RGB; hostile or damaged files raise one typed error."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unboxed.data.images import MAX_PIXELS, SUFFIXES, image_size, open_image, read_image
from unboxed.errors import ImageError

# EXIF orientation 1..8 -> how a viewer must turn the stored array.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: np.rot90(a),
}


def _picture(width: int = 6, height: int = 4) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize(("suffix", "options"), [("png", {}), ("webp", {"lossless": True}), ("tiff", {})])
def test_exif_orientation_is_applied(tmp_path: Path, suffix: str, options: dict[str, bool], orientation: int) -> None:
    path = tmp_path / f"photo.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(_picture()).save(path, exif=exif, **options)
    expected = UPRIGHT[orientation](_picture())
    assert np.array_equal(np.asarray(open_image(path)), expected)
    assert image_size(path) == (expected.shape[1], expected.shape[0])


def test_a_jpeg_from_a_phone_stands_upright(tmp_path: Path) -> None:
    path = tmp_path / "phone.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20), "red").save(path, exif=exif)
    assert open_image(path).size == image_size(path) == (20, 40)


def test_bytes_are_read_like_their_file_and_may_have_a_lower_limit(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    Image.fromarray(_picture()).save(path)
    assert np.array_equal(np.asarray(open_image(path.read_bytes())), np.asarray(open_image(path)))
    for source in (path, path.read_bytes()):
        with pytest.raises(ImageError, match=r"6 x 4 = 24 pixels, the limit is 23"):
            open_image(source, max_pixels=23)
    with pytest.raises(ImageError, match=r"The given image \(5 bytes\) is not an image"):
        open_image(b"hello")


@pytest.mark.parametrize(("kind", "suffix"), [("AVIF", ".avif"), ("JPEG", ".jfif")])
def test_avif_and_jfif_are_images(tmp_path: Path, kind: str, suffix: str) -> None:
    if kind not in Image.registered_extensions().values():
        pytest.skip("this Pillow has no AVIF")
    path = tmp_path / f"photo{suffix}"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20), "red").save(path, format=kind, exif=exif)
    assert suffix in SUFFIXES and open_image(path).size == image_size(path) == (20, 40)
    assert open_image(path).getpixel((10, 20))[0] > 200


HEIC = b"\0\0\0\x24ftypheic\0\0\0\0mif1MiHEheic" + bytes(2000)


def test_a_heic_image_without_its_decoder_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unboxed.data.images._decoders", lambda: ("JPEG", "PNG"))
    path = tmp_path / "iphone.HEIC"
    path.write_bytes(HEIC)
    for source in (path, HEIC):
        with pytest.raises(ImageError, match=r"HEIC.*pip install \"unboxed\[heic\]\""):
            open_image(source)
    with pytest.raises(ImageError, match=r"AVIF image, which needs Pillow 11\.3"):
        open_image(HEIC.replace(b"heic", b"avif"))


def test_heic_is_read_with_the_extra(tmp_path: Path) -> None:
    pytest.importorskip("pillow_heif", reason="pillow-heif is not installed").register_heif_opener()
    Image.new("RGB", (40, 20), "red").save(tmp_path / "iphone.HEIC", quality=95)
    assert open_image(tmp_path / "iphone.HEIC").size == image_size(tmp_path / "iphone.HEIC") == (40, 20)


def test_a_file_larger_than_any_image_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "sparse.jpg"
    with path.open("wb") as file:
        file.truncate(1_000_000_001)
    for read in (open_image, image_size, read_image):
        with pytest.raises(ImageError, match="has more than 1,000,000,000 bytes, the limit; store"):
            read(path)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@pytest.mark.parametrize("kind", ["tEXt", "zTXt", "iTXt", "iCCP"])
@pytest.mark.parametrize("before_the_pixels", [True, False])
def test_a_sound_png_with_large_text_is_read(tmp_path: Path, kind: str, before_the_pixels: bool) -> None:
    path = tmp_path / "generated.png"
    Image.fromarray(_picture()).save(path)
    prompt = b"x" * (1 << 21)
    content = {
        "tEXt": b"prompt\0" + prompt * 33,
        "zTXt": b"prompt\0\0" + zlib.compress(prompt),
        "iTXt": b"prompt\0\1\0\0\0" + zlib.compress(prompt),
        "iCCP": b"sRGB\0\0" + zlib.compress(prompt),
    }[kind]
    data = path.read_bytes()
    place = 33 if before_the_pixels else len(data) - 12  # after the header, or before the end
    path.write_bytes(data[:place] + _chunk(kind.encode(), content) + data[place:])
    assert image_size(path) == (6, 4)
    for source in (path, path.read_bytes()):
        assert np.array_equal(np.asarray(open_image(source)), _picture())


def test_an_image_with_damaged_exif_is_read(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    Image.new("RGB", (8, 8), "red").save(path, exif=b"Exif\0\0II*\0garbage")
    assert open_image(path).size == image_size(path) == (8, 8)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("photo.tiff" if mode in ("CMYK", "I;16") else "photo.png")
    white = Image.fromarray(np.full((2, 3), 65535, np.uint16)) if mode == "I;16" else None
    (white or Image.new("RGB", (3, 2), "white").convert(mode)).save(path)
    image = open_image(path)
    assert (image.mode, image.size, image.getpixel((2, 1))) == ("RGB", (3, 2), (255, 255, 255))


def test_sixteen_bits_are_scaled_not_cut() -> None:
    grey = Image.fromarray(np.array([[0, 257 * 100, 65535]], np.uint16))
    assert np.asarray(open_image(grey))[0, :, 0].tolist() == [0, 100, 255]


def test_transparent_pixels_are_white(tmp_path: Path) -> None:
    Image.new("RGBA", (2, 2), (0, 0, 0, 0)).save(tmp_path / "a.png")
    palette = Image.new("P", (2, 2), 7)
    palette.putpalette([10, 20, 30] * 256)
    palette.save(tmp_path / "b.png", transparency=7)
    assert open_image(tmp_path / "a.png").getpixel((0, 0)) == (255, 255, 255)
    assert open_image(tmp_path / "b.png").getpixel((0, 0)) == (255, 255, 255)


def test_arrays_and_images_are_images_too() -> None:
    picture = _picture()
    assert np.array_equal(np.asarray(open_image(picture)), picture)
    assert np.array_equal(np.asarray(open_image(Image.fromarray(picture))), picture)
    assert open_image(picture[:, :, 0]).getpixel((0, 0)) == (picture[0, 0, 0],) * 3


def test_the_result_is_independent_of_what_was_given() -> None:
    given = Image.new("RGB", (2, 2), "red")
    open_image(given).putpixel((0, 0), (0, 0, 0))
    assert given.getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize(
    "array",
    [np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8), np.zeros((4,), np.uint8), np.zeros((0, 4, 3), np.uint8)],
)
def test_other_arrays_are_refused_with_the_fix(array: np.ndarray) -> None:
    with pytest.raises(ImageError, match=r"expected uint8 \[H, W, 3\]"):
        open_image(array)


def test_arrays_and_images_have_the_same_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unboxed.data.images.MAX_PIXELS", 23)
    with pytest.raises(ImageError, match="The given array has 24 pixels, the limit is"):
        open_image(_picture())
    with pytest.raises(ImageError, match="The upload has no pixels"):
        open_image(Image.new("RGB", (0, 3)), name="The upload")


def test_pixels_without_a_range_are_refused() -> None:
    with pytest.raises(ImageError, match=r"^.* has floating-point pixels; save it with 8 or 16 bits\.$"):
        open_image(Image.new("F", (2, 2)))


def _png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [100_000, 12_000, 10_001])  # the middle one is what Pillow only warns of
def test_too_many_pixels_are_refused_from_the_header(tmp_path: Path, side: int) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(_png_header(side, side))
    for read in (open_image, image_size):
        with pytest.raises(ImageError, match=f"the limit is {MAX_PIXELS:,}; store a smaller copy"):
            read(path)


def test_files_that_are_no_image(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("not an image")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "drawing.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    cases = {
        "text.jpg": "is not an image",
        "empty.jpg": "is empty",
        "drawing.eps": "expected JPEG, PNG",
        "absent.jpg": "does not exist",
        "": "is a folder",
        "a\0b.jpg": "cannot be read as an image",
    }
    for name, message in cases.items():
        for read in (open_image, image_size):
            with pytest.raises(ImageError, match=message):
                read(tmp_path / name)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff", "gif", "bmp"])
def test_a_truncated_file_is_found_when_decoded(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(_picture(64, 64)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ImageError, match="fetch it again"):
        open_image(path)


def test_damage_raises_no_other_error(tmp_path: Path) -> None:
    """Bytes flipped anywhere give either an image or an `ImageError`."""
    rng = np.random.default_rng(0)
    for suffix in ("jpg", "png", "webp", "tiff", "gif", "bmp"):
        path = tmp_path / f"photo.{suffix}"
        Image.fromarray(_picture(32, 32)).save(path)
        whole = np.frombuffer(path.read_bytes(), np.uint8)
        for _ in range(40):
            damaged = whole.copy()
            damaged[rng.integers(0, min(len(whole), 400), 6)] = rng.integers(0, 256, 6)
            path.write_bytes(damaged.tobytes())
            try:
                assert open_image(path).mode == "RGB"
            except ImageError as error:
                assert str(path) in str(error)


def test_opening_an_opened_image_changes_nothing(tmp_path: Path) -> None:
    turned, exif = Image.new("RGB", (30, 20)), Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    once = open_image(tmp_path / "turned.png")
    assert once.size == (20, 30) == open_image(once).size


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_named_like_an_image_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for read in (open_image, image_size):
        with pytest.raises(ImageError, match=r"pipe\.jpg is a pipe, a socket or a device"):
            read(tmp_path / "pipe.jpg")
