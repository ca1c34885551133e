"""Phrase grounding and image-text matching, learned from captions alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from unboxed.errors import UnboxedError
from unboxed.types import Caption, Example, GroundedPhrase, Grounding, Phrase, Regions

if TYPE_CHECKING:
    from unboxed.model import Grounder

__version__ = "0.1.0"
__all__ = [
    "Caption",
    "Example",
    "GroundedPhrase",
    "Grounder",
    "Grounding",
    "Phrase",
    "Regions",
    "UnboxedError",
    "__version__",
    "load",
]


def load(run: str | Path) -> Grounder:
    """The trained model of a run's folder, as `unboxed fit` leaves it; raises `RunError` when there is none."""
    from unboxed.model import Grounder

    return Grounder.load(run)


def __getattr__(name: str) -> Any:
    # PyTorch takes a second to load; `import unboxed` and `unboxed --help` do without it until a model is wanted.
    if name == "Grounder":
        from unboxed.model import Grounder

        return Grounder
    raise AttributeError(f"module 'unboxed' has no attribute {name!r}")
