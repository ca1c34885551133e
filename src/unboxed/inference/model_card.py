"""The model card of a run: `model_card.md` filled in with the run's facts."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import jinja2

from unboxed import __version__
from unboxed.inference.run_config import RunConfig

__all__ = ["model_card"]

_NOT_COUNTED = {"photos": 0, "captions": 0}


def model_card(config: RunConfig) -> str:
    """The card as Markdown, with the metadata header of the Hugging Face Hub."""
    facts = config.facts
    data = Path(str(facts.get("data", "an unnamed dataset")))
    detectors = [path.name for path in config.regions.detectors]
    if config.regions.detector_hf:
        detectors.append(Path(config.regions.detector_hf).name)
    best = facts.get("best", {})
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    template = environment.from_string(files("unboxed.inference").joinpath("model_card.md").read_text(encoding="utf-8"))
    return template.render(
        recipe=config.recipe,
        data=data.parent.name if data.stem == "data" and data.parent.name else data.stem,
        train=_NOT_COUNTED | facts.get("train", {}),
        validation=_NOT_COUNTED | facts.get("validation", {}),
        regions=f"the detector {', '.join(detectors)}" if detectors else "segments and a grid, without weights",
        schedule=config.options.schedule,
        best=best if "val_loss" in best else None,
        presence=config.presence,
        version=facts.get("unboxed", __version__),
        count="{:,}".format,
    )
