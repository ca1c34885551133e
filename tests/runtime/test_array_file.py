"""NumPy archives that are damaged, or hold what NumPy cannot give back."""

from __future__ import annotations

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
