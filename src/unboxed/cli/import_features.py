"""`unboxed import`: precomputed region features, in a store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from tyro.conf import OmitArgPrefixes, Positional

from unboxed.cli.output import print_json
from unboxed.cli.region_options import ImportOptions
from unboxed.runtime.progress import show

__all__ = ["import_command", "import_features"]


def import_features(
    data: Positional[Path],
    /,
    features: Path,
    format: str,  # noqa: A002, the name of the option
    out: Path,
    importing: OmitArgPrefixes[ImportOptions] = ImportOptions(),  # noqa: B008, a frozen value
    json: bool = False,
    wait: bool = False,
) -> None:
    """Import precomputed region features into a store, such as those of SCAN or bottom-up attention.

    Args:
        data: the dataset's TOML file, CSV or JSONL.
        features: the file or folder of the features.
        format: format of the features; the guide “Regions” describes the formats.
        out: folder of the store; an interrupted import continues where it stopped.
        importing: what is imported.
        json: print one JSON object on standard output at the end.
        wait: wait while another process writes the store, instead of ending with an error.
    """
    from unboxed.data.dataset import load_dataset
    from unboxed.regions.importing import import_regions, open_features
    from unboxed.runtime.locks import waiting

    source = open_features(features, format)
    with waiting(wait):
        summary = import_regions(
            load_dataset(data),
            source,
            out,
            class_names=importing.classes,
            first=importing.first,
            int8=importing.int8,
        )
    show(f"{out}: {summary}")
    if json:
        print_json({"store": str(out), **asdict(summary)})


def import_command() -> Callable[..., None]:
    """`import_features` whose `--format` accepts the formats of all importers. Imports the importers."""
    from unboxed.regions.importers import IMPORTERS

    import_features.__annotations__["format"] = Literal[tuple(importer.format for importer in IMPORTERS)]
    return import_features
