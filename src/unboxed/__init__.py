"""Phrase grounding and image-text matching, learned from captions alone."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unboxed.errors import UnboxedError

if TYPE_CHECKING:
    from unboxed.inference.grounder import Grounder
    from unboxed.inference.results import GroundedPhrase, Grounding, RankedImage
    from unboxed.types import Caption, Example, Phrase, Regions

__version__ = "0.1.0"
__all__ = [
    "Caption",
    "Example",
    "GroundedPhrase",
    "Grounder",
    "Grounding",
    "Phrase",
    "RankedImage",
    "Regions",
    "UnboxedError",
    "__version__",
    "load",
]


def load(run: str | Path, *, device: str | None = None, precision: str | None = None) -> Grounder:
    """The trained model of a run's folder, as `unboxed fit` leaves it; raises `RunError` when there is none.

    Args:
        run: the folder.
        device, precision: as for `Grounder.load`.
    """
    from unboxed.inference.grounder import Grounder

    return Grounder.load(run, device=device, precision=precision)


def __getattr__(name: str) -> Any:
    # PyTorch takes a second to load and NumPy a tenth; `import unboxed` and `unboxed --help` do without until they are
    # wanted.
    if name == "Grounder":
        return import_module("unboxed.inference.grounder").Grounder
    if name in ("GroundedPhrase", "Grounding", "RankedImage"):
        return getattr(import_module("unboxed.inference.results"), name)
    if name in __all__:
        return getattr(import_module("unboxed.types"), name)
    raise AttributeError(f"module 'unboxed' has no attribute {name!r}")
