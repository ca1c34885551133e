"""`unboxed convert`: a run from a checkpoint of the original code of a method."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import OmitArgPrefixes, Positional

from unboxed.cli.output import print_json
from unboxed.convert.options import ConvertSettings
from unboxed.runtime.progress import show

__all__ = ["convert"]


def convert(checkpoint: Positional[Path], /, settings: OmitArgPrefixes[ConvertSettings], json: bool = False) -> None:
    """Convert a released checkpoint of SCAN, SGRAF, VSE++ or info-ground to a run.

    Only tensors and plain values are read of the file; nothing in it is run.

    Args:
        checkpoint: the file, such as model_best.pth.tar.
        settings: the run, and what is not in the file.
        json: print one JSON object on standard output at the end.
    """
    from unboxed.convert.conversion import convert as convert_checkpoint
    from unboxed.regions.settings import ImportedRegions

    grounder = convert_checkpoint(checkpoint, settings)
    original = grounder.config.facts["converted"]["original"]
    show(f"Run: {settings.out}, {grounder.config.recipe} of {original}.")
    regions = grounder.config.regions
    if settings.regions is None and isinstance(regions, ImportedRegions):
        show(
            f"It reads features of the format {regions.imported}; `unboxed import` makes a store of them, which "
            "`unboxed evaluate` reads with --regions."
        )
    if json:
        print_json({"run": str(settings.out), "recipe": grounder.config.recipe, "original": original})
