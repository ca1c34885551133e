"""The tar files of WebDataset are unpacked; nothing is written under the names of their members."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from unboxed.data import load_dataset
from unboxed.errors import DatasetError


def _jpeg(number: int) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (40 + number, 30)).save(content, "JPEG")
    return content.getvalue()


def _tar(file: Path, members: dict[str, bytes]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file


def _captions(folder: Path) -> dict[str, list[list[str]]]:
    dataset = load_dataset(folder)
    splits = {name: dataset.split(name).examples for name in dataset.split_names}
    return {name: [[caption.text for caption in e.captions] for e in examples] for name, examples in splits.items()}


def test_samples_have_their_captions_in_text_or_json(tmp_path: Path) -> None:
    for split, first in (("train", 0), ("val", 2)):
        members = {
            f"{first}.jpg": _jpeg(first),
            f"{first}.txt": codecs.BOM_UTF8 + b"a dog\ntwo dogs",
            f"{first}.json": b'{"url": "x", "caption": "not this"}',
            f"{first + 1}.jpg": _jpeg(first + 1),
            f"{first + 1}.json": json.dumps({"caption": "a cat"}).encode(),
        }
        _tar(tmp_path / split / "00000.tar", members)
    wanted = [["a dog", "two dogs"], ["a cat"]]
    assert _captions(tmp_path) == {"train": wanted, "val": wanted}


def test_images_and_texts_of_a_tar_may_lie_apart(tmp_path: Path) -> None:
    members = {"1.jpg": _jpeg(1), "2.jpg": _jpeg(2), "1.txt": b"a dog", "2.json": b'["a cat", "two cats"]'}
    _tar(tmp_path / "train-0.tar", members)
    found = _captions(tmp_path)
    assert sorted(captions for of_split in found.values() for captions in of_split) == [
        ["a cat", "two cats"],
        ["a dog"],
    ]


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    members = {
        "1.jpg": _jpeg(1),
        "1.txt": b"a dog",
        "2.jpg": _jpeg(2),
        "3.txt": b"a cat",
        "4.jpg": _jpeg(4),
        "4.txt": b"a",
    }
    _tar(tmp_path / "0.tar", members)
    notes = load_dataset(tmp_path).notes
    assert [note.split(" (")[0] for note in notes] == [
        "Left out: 1 row without a caption",
        "Left out: 1 row without an image",
    ]


def test_names_and_links_in_a_tar_reach_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "in" / "data"
    _tar(folder / "0.tar", {"../../evil.jpg": _jpeg(1), "../../evil.txt": b"a dog", "/b.jpg": _jpeg(2), "/b.txt": b"a"})
    with tarfile.open(folder / "0.tar", "a") as archive:
        link = tarfile.TarInfo("c.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "secret.jpg")
        archive.addfile(link)
    (tmp_path / "secret.jpg").write_bytes(_jpeg(9))
    dataset = load_dataset(folder)
    stored = [example.path for name in dataset.split_names for example in dataset.split(name).examples]
    assert {path.name for path in stored} == {"00000000.jpg", "00000001.jpg"}
    assert sorted(path.name for path in tmp_path.rglob("*.jpg")) == ["00000000.jpg", "00000001.jpg", "secret.jpg"]


def test_a_damaged_tar_is_named(tmp_path: Path) -> None:
    file = _tar(tmp_path / "0.tar", {"1.jpg": _jpeg(1), "1.txt": b"a dog", "2.jpg": bytes(50_000)})
    file.write_bytes(file.read_bytes()[:20_000])
    with pytest.raises(DatasetError, match=r"0\.tar cannot be read"):
        load_dataset(tmp_path)


def _claiming_more_than_any_file_has(content: bytes) -> bytes:
    header = bytearray(content[:512])
    header[124:136] = b"\x80\0\0\0\x7f" + b"\xff" * 7
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + content[512:]


def _damaged_in_the_middle(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes(64) + content[middle + 64 :]


def _damaged_in_its_second_sample(content: bytes) -> bytes:
    return content.replace(b"2.jpg", b"3.jpg", 1)


@pytest.mark.parametrize(
    "damage",
    [
        _damaged_in_its_second_sample,
        _claiming_more_than_any_file_has,
        lambda content: _damaged_in_the_middle(gzip.compress(content)),
        lambda content: _damaged_in_the_middle(lzma.compress(content)),
    ],
    ids=["header", "size", "gzip", "xz"],
)
def test_whatever_a_damaged_tar_makes_its_readers_raise_is_typed(
    damage: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    text = b"".join(b"%d dogs\n" % number for number in range(5000))
    file = _tar(tmp_path / "0.tar", {"1.jpg": _jpeg(1), "1.txt": text, "2.jpg": _jpeg(2), "2.txt": text})
    file.write_bytes(damage(file.read_bytes()))
    for path in (file, tmp_path):
        with pytest.raises(DatasetError, match=r"0\.tar|no captions"):
            load_dataset(path).split("train")


def test_a_name_that_is_not_utf8_stops_no_tar(tmp_path: Path) -> None:
    names = ("1\udcff", "2")
    members = {
        f"{name}{suffix}": content for name in names for suffix, content in ((".jpg", _jpeg(1)), (".txt", b"dog"))
    }
    dataset = load_dataset(_tar(tmp_path / "0.tar", members))
    found = [example.image_id for name in dataset.split_names for example in dataset.split(name).examples]
    assert sorted(found) == ["0/1\\xff.jpg", "0/2.jpg"]


def test_only_the_end_of_a_line_ends_a_caption_of_a_sample(tmp_path: Path) -> None:
    text = "a dog\r\ntwo dogs\rthree\u2028dogs \x0b in a row".encode()
    _tar(tmp_path / "train" / "0.tar", {"1.jpg": _jpeg(1), "1.txt": text})
    assert _captions(tmp_path) == {"train": [["a dog", "two dogs", "three\u2028dogs \x0b in a row"]]}
