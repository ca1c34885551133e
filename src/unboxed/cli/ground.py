"""The command `unboxed ground`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from unboxed.cli.output import print_json, print_unknown_words
from unboxed.runtime.progress import show

if TYPE_CHECKING:
    import PIL.Image

    from unboxed.inference.grounder import Grounder
    from unboxed.inference.results import GroundedPhrase
    from unboxed.types import Regions

__all__ = ["ground"]


def ground(
    run: Positional[Path],
    image: Positional[Path],
    caption: Positional[str],
    /,
    save: Path | None = None,
    json: bool = False,
    top: int = 5,
    absent: bool = False,
) -> None:
    """Find the box of each phrase of a caption in an image.

    Args:
        run: folder of the run.
        image: the image file.
        caption: any sentence; a box is found for each of its noun phrases.
        save: write the image with its boxes to this file (.png or .jpg).
        json: print one JSON object.
        top: boxes for each phrase in the JSON, best first.
        absent: also show the boxes of phrases that are probably not in the image. The JSON always has them.
    """
    from unboxed.data.images import open_image
    from unboxed.text.phrases import noun_phrases
    from unboxed.types import Caption

    parsed = Caption(caption, noun_phrases(caption))
    pixels = open_image(image)
    grounder, regions = _load_and_extract(run, pixels)
    grounding = grounder.ground_regions(regions, [parsed])[0]
    print_unknown_words(grounder, caption)
    if save is not None:
        from unboxed.visualization.draw import draw_grounding, save_picture

        shown = [phrase for phrase in grounding.phrases if phrase.present or absent]
        save_picture(save, draw_grounding(pixels, caption, shown))
    if json:
        print_json(grounding.to_dict(top))
        return
    for phrase in grounding.phrases:
        print(_phrase_line(phrase, absent))
    if save is not None:
        show(f"Picture: {save}")


def _phrase_line(phrase: GroundedPhrase, absent: bool) -> str:
    parts = []
    if phrase.present or absent:
        parts.append(f"[{', '.join(f'{edge:.0f}' for edge in phrase.boxes[0])}]  {phrase.scores[0]:.2f}")
    if not phrase.present:
        parts.append(f"not in the image (confidence {phrase.confidence:.2f})")
    return f"{phrase.text}: {'  '.join(parts)}"


def _load_and_extract(run: Path, image: PIL.Image.Image) -> tuple[Grounder, Regions]:
    """Load the model and extract the image's regions, at the same time: importing PyTorch takes over a second."""
    from unboxed.inference.run_config import RunConfig
    from unboxed.regions.extraction import RegionExtractor

    config = RunConfig.load(run)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(import_module, "torch")
        regions = RegionExtractor(config.regions, side_by_side=True)(image)
    from unboxed.inference.grounder import Grounder

    return Grounder.load(run), regions
