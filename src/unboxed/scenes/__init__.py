"""Scenes, the drawn world: pictures, captions and boxes from a seed, in the layout of Flickr30K Entities.

    dataset = load_dataset(write_scenes(Path("scenes"), seed=0, train=2000, val=300, test=300))

Its detector, `DETECTOR`, is a small network that was trained on other drawn pictures.
"""

from __future__ import annotations

from unboxed.scenes.writing import DETECTOR, write_scenes

__all__ = ["DETECTOR", "write_scenes"]
