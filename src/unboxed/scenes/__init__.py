"""Scenes, the drawn world: pictures, captions and boxes from a seed, in the layout of Flickr30K Entities."""

from __future__ import annotations

from unboxed.scenes.writing import DETECTOR, write_scenes

__all__ = ["DETECTOR", "write_scenes"]
