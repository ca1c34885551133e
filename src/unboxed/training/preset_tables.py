"""The tables of docs/presets.md: the options of `--preset paper` beside the defaults. Run as a module, writes the page.

python -m unboxed.training.preset_tables docs/presets.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from unboxed.recipes import RECIPES
from unboxed.recipes.presets import DATASETS, flat_options, make_preset, paper_settings, shown
from unboxed.runtime.atomic import write_text
from unboxed.training.options import FitSettings

__all__ = ["preset_tables", "with_tables"]

_BEGIN = "<!-- tables: written by `python -m unboxed.training.preset_tables docs/presets.md` -->"


def preset_tables() -> str:
    """The tables in Markdown, one for each recipe that has a preset `paper`."""
    return "\n".join(line for name in RECIPES if name in paper_settings() for line in _section(name))


def with_tables(page: str) -> str:
    """The text of docs/presets.md with the tables of this version."""
    return f"{page.partition(_BEGIN)[0]}{_BEGIN}\n{preset_tables()}\n"


def _section(recipe: str) -> Iterator[str]:
    settings, why = paper_settings()[recipe], paper_settings()["why"]
    default = {**{field.name: field.default for field in fields(FitSettings)}, **flat_options(RECIPES[recipe]())}
    presets = [make_preset(recipe, RECIPES[recipe], "paper", dataset) for dataset in DATASETS]
    repository, _, commit = settings["source"].partition("@")
    yield f"\n## {recipe}\n"
    yield f"{RECIPES[recipe].paper}: [{repository}](https://github.com/{repository}/tree/{commit}).\n"
    yield "| option | original | `paper` | default | why the default differs |"
    yield "| --- | --- | --- | --- | --- |"
    ours = []
    for name, entry in presets[0].entries.items():
        values = [{**flat_options(one.config), **one.fit}[name] for one in presets]
        differs = default[name] not in values
        if not (entry.source or entry.note):
            ours.append(f"`--{name.replace('_', '-')}` {_cell(values[0])}")
            continue
        setting = settings["options"].get(name, {}).get("setting")
        original = "; ".join(part for part in (f"`{setting}`" if setting else "", entry.source, entry.note) if part)
        cells = [f"`{name}`", original, _both(values), _cell(default[name]), why.get(name, "") if differs else ""]
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    yield f"\nNot in the original: {', '.join(ours)}."
    if settings["given"]:
        yield "\nSettings of the original that are no options:\n"
        yield from (f"* `{name}`: {meaning}" for name, meaning in settings["given"].items())


def _both(values: list[Any]) -> str:
    flickr, coco = map(_cell, values)
    return flickr if flickr == coco else f"{flickr}; {coco} for COCO"


def _cell(value: Any) -> str:
    return "none" if value is None else {True: "yes", False: "no"}[value] if isinstance(value, bool) else shown(value)


if __name__ == "__main__":
    page = Path(sys.argv[1])
    write_text(page, with_tables(page.read_text(encoding="utf-8")))
