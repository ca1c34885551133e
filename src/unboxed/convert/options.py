"""The settings of a conversion."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from unboxed.runtime.paths import accept_strings

__all__ = ["ConvertSettings"]


@dataclass(frozen=True)
class ConvertSettings:
    """The settings of a conversion.

    Attributes:
        out: folder of the run.
        vocab: the vocabulary that the checkpoint was trained with, SCAN's JSON file or VSE++'s pickle; info-ground has
            none.
        text: folder or hub name of the frozen text encoder of info-ground.
        regions: store of the features that the run will be used with, made by `unboxed import`; by default the run
            takes a store of the original's features.
    """

    out: Path
    vocab: Path | None = None
    text: str = "bert-base-uncased"
    regions: Path | None = None

    def __post_init__(self) -> None:
        accept_strings(self)
