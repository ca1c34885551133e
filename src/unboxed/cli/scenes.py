"""`unboxed scenes`: the drawn dataset."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional

from unboxed.cli.output import print_json
from unboxed.runtime.progress import show

__all__ = ["scenes"]


def scenes(
    out: Positional[Path], /, seed: int = 0, train: int = 2000, val: int = 300, test: int = 300, json: bool = False
) -> None:
    """Draw Scenes, a dataset of simple images in the Flickr30K Entities format, with its dataset file OUT/data.toml.

    Args:
        out: folder to write; it must not exist yet.
        seed: random seed; the same seed writes the same bytes.
        train: images of the train split.
        val: images of the val split.
        test: images of the test split.
        json: print one JSON object on standard output at the end.
    """
    from unboxed.scenes import write_scenes

    file = write_scenes(out, seed=seed, train=train, val=val, test=test)
    show(f"Wrote {file}")
    if json:
        print_json({"data": str(file), "splits": {"train": train, "val": val, "test": test}})
