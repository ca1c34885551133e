"""The card of a model: what it is, what it was trained on, how to use it; written from the run's own facts."""

from __future__ import annotations

from pathlib import Path

from unboxed import __version__
from unboxed.run_config import RunConfig

__all__ = ["model_card"]


def model_card(config: RunConfig) -> str:
    """Markdown with the header that the Hugging Face Hub reads."""
    facts, schedule = config.facts, config.choices.schedule
    training, best = facts.get("train", {}), facts.get("best", {})
    held_out = facts.get("validation", {})
    data = Path(str(facts.get("data", "an unnamed dataset")))
    name = data.parent.name if data.stem == "data" and data.parent.name else data.stem
    detectors = [path.name for path in config.regions.detectors]
    if config.regions.detector_hf:
        detectors.append(Path(config.regions.detector_hf).name)
    found = f"the detector {', '.join(detectors)}" if detectors else "segments and a grid, without weights"
    lines = [
        "---",
        "library_name: unboxed",
        "tags:",
        "- phrase-grounding",
        "- image-text-matching",
        "---",
        "",
        f"# {config.recipe} on {name}",
        "",
        "Boxes the phrases of a caption in a photograph, and ranks photographs and captions for each other. It learned "
        "this from photographs and their captions; no box of a phrase was shown to it.",
        "",
        "```python",
        "import unboxed",
        "",
        'grounder = unboxed.Grounder.from_pretrained("OWNER/NAME")',
        'grounding = grounder.ground("photo.jpg", "A man in a red shirt plays a guitar.")',
        "```",
        "",
        "| | |",
        "| --- | --- |",
        f"| recipe | `{config.recipe}` |",
        f"| trained on | {name}: {training.get('photos', 0):,} photographs, {training.get('captions', 0):,} captions |",
        f"| held out | {held_out.get('photos', 0):,} photographs, {held_out.get('captions', 0):,} captions |",
        f"| regions | {found} |",
        f"| training | {schedule.epochs} epochs, seed {schedule.seed} |",
    ]
    if "val_loss" in best:
        lines.append(f"| chosen | epoch {best['epoch'] + 1}, by validation {schedule.select_on} |")
    if config.presence is not None:
        lines.append(f"| absent phrases | told by a confidence calibrated on {config.presence.phrases:,} phrases |")
    lines += [
        f"| made with | unboxed {facts.get('unboxed', __version__)} |",
        "",
        "Captions are read in English. How well it grounds is measured on your data with "
        "`unboxed evaluate RUN --data DATA.toml`. The photographs, captions and detectors that it was made from have "
        "terms of their own.",
        "",
    ]
    return "\n".join(lines)
