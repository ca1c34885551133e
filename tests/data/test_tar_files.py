"""Headers of tar files take little memory, whatever they claim."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from unboxed.data.dataset import load_dataset
from unboxed.data.image_search import StoredImage
from unboxed.data.readers.flickr30k_entities import read_examples
from unboxed.data.tar_files import TarMember, members
from unboxed.errors import DatasetError

LARGEST = 1_000_000


def _extension(kind: bytes, content: bytes) -> bytes:
    """A header of a kind, and its content in blocks of 512 bytes."""
    header = tarfile.TarInfo("extension")
    header.type, header.size = kind, len(content)
    return header.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)


def _long_name(size: int) -> bytes:
    return _extension(tarfile.GNUTYPE_LONGNAME, b"a" * size)


def _attribute(name: str, size: int) -> bytes:
    start = b" " + name.encode() + b"="
    length = len(start) + size + 1
    length += len(str(length + len(str(length))))
    return str(length).encode() + start + b"a" * size + b"\n"


def _sparse(blocks: int) -> bytes:
    """The header of a sparse file that continues in so many blocks."""
    header = bytearray(_extension(tarfile.GNUTYPE_SPARSE, b""))
    header[482] = 1
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + (bytes(504) + b"\1" + bytes(7)) * blocks + bytes(512)


HEADERS: dict[str, Callable[[], bytes]] = {
    "long name": lambda: _long_name(2 * LARGEST),
    "long link": lambda: _extension(tarfile.GNUTYPE_LONGLINK, b"a" * 2 * LARGEST),
    "attribute": lambda: _extension(tarfile.XHDTYPE, _attribute("comment", 2 * LARGEST)),
    "several in a row": lambda: _long_name(LARGEST // 4) * 5,
    "sparse": lambda: _sparse(2 * LARGEST // 512),
    "attributes of all members": lambda: b"".join(
        _extension(tarfile.XGLTYPE, _attribute(f"comment{number}", LARGEST // 4)) + tarfile.TarInfo("a").tobuf()
        for number in range(5)
    ),
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS.keys())
@pytest.mark.parametrize("mode", ["r:", "r|"])
def test_a_large_header_is_refused(header: Callable[[], bytes], mode: Literal["r:", "r|"]) -> None:
    content = tarfile.TarInfo("first").tobuf() + header() + tarfile.TarInfo("last").tobuf() + bytes(1024)
    with (
        tarfile.open(fileobj=io.BytesIO(content), mode=mode, tarinfo=TarMember) as archive,
        pytest.raises(tarfile.ReadError, match="a header of more than 1,000,000 bytes"),
    ):
        list(members(archive))


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_are_read_and_no_member_is_kept(form: int) -> None:
    content, names = io.BytesIO(), [f"{'long/' * 200}{number}.jpg" for number in range(3)]
    with tarfile.open(fileobj=content, mode="w", format=form, pax_headers={"comment": "of all"}) as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    content.seek(0)
    with tarfile.open(fileobj=content, tarinfo=TarMember) as archive:
        assert [member.name for member in members(archive)] == names
        assert not archive.members


def test_a_dataset_with_a_large_header_is_named(tmp_path: Path) -> None:
    archive = tmp_path / "0.tar"
    archive.write_bytes(tarfile.TarInfo("first").tobuf() + _long_name(2 * LARGEST))
    reason = r"0\.tar cannot be read .*a header of more than 1,000,000 bytes"
    with pytest.raises(DatasetError, match=reason):
        _ = load_dataset(archive).split_names
    with pytest.raises(DatasetError, match=reason):
        read_examples(archive, {"7": StoredImage(tmp_path / "7.jpg", 1, 1)})
