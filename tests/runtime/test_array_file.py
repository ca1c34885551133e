"""NumPy archives that are damaged, or hold what NumPy cannot give back."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from unboxed.runtime.array_file import read_arrays


def test_a_text_of_characters_that_do_not_exist_is_refused(tmp_path: Path) -> None:
    codes = np.array([65, 0x110000], np.uint32)
    np.savez(tmp_path / "ids.npz", ids=codes.view("U2"))
    with pytest.raises(ValueError, match="ids has a text with characters that do not exist"):
        read_arrays(tmp_path / "ids.npz")


@pytest.mark.parametrize("order", "<>")
def test_texts_of_either_byte_order_are_read(tmp_path: Path, order: str) -> None:
    np.savez(tmp_path / "ids.npz", ids=np.array(["7", "\U0010ffff"]).astype(f"{order}U1"), none=np.array([], "U1"))
    assert read_arrays(tmp_path / "ids.npz")["ids"].tolist() == ["7", "\U0010ffff"]


def test_arrays_that_would_fill_the_memory_are_refused_unread(tmp_path: Path) -> None:
    with (
        zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.npy", "w") as member,
    ):
        np.lib.format.write_array_header_1_0(member, {"shape": (300 * 2**20,), "fortran_order": False, "descr": "|u1"})
        for _ in range(300):
            member.write(bytes(2**20))
    with pytest.raises(ValueError, match=r"its 0\.3 GB are packed into 0\.3 MB"):
        read_arrays(tmp_path / "a.npz")
