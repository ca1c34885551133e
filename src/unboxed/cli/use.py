"""Verbs that use a trained run: boxes for the phrases of a caption."""

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
    from unboxed.types import Regions

__all__ = ["ground"]


def ground(
    run: Positional[Path],
    photo: Positional[Path],
    caption: Positional[str],
    /,
    save: Path | None = None,
    json: bool = False,
    top: int = 5,
    absent: bool = False,
) -> None:
    """Box the phrases of a caption in an image.

    Args:
        run: folder of the run.
        photo: the image.
        caption: any sentence; its noun phrases are boxed.
        save: write the image with its boxes here (.png or .jpg).
        json: print one JSON object.
        top: boxes a phrase in the JSON, best first.
        absent: box those phrases too that do not seem to be in the picture; the JSON has them always, marked.
    """
    from unboxed.data.images import open_image
    from unboxed.text.phrases import noun_phrases
    from unboxed.types import Caption

    given = Caption(caption, noun_phrases(caption))
    image = open_image(photo)
    grounder, regions = _loaded(run, image)
    grounding = grounder.ground_regions(regions, [given])[0]
    print_unknown_words(grounder, caption)
    if save is not None:
        from unboxed.visualization.draw import draw_grounding, save_picture

        shown = [phrase for phrase in grounding.phrases if phrase.present or absent]
        save_picture(save, draw_grounding(image, caption, shown))
    if json:
        print_json(grounding.to_dict(top))
    else:
        for phrase in grounding.phrases:
            doubt = "" if phrase.present else f"not in the picture (confidence {phrase.confidence:.2f})"
            box = ", ".join(f"{edge:.0f}" for edge in phrase.boxes[0])
            boxed = f"[{box}]  {phrase.scores[0]:.2f}" if phrase.present or absent else ""
            print(f"{phrase.text}: {'  '.join(part for part in (boxed, doubt) if part)}")
        if save is not None:
            show(f"Picture: {save}")


def _loaded(run: Path, image: PIL.Image.Image) -> tuple[Grounder, Regions]:
    """The model and the photograph's regions, which are found while PyTorch loads: that takes more than a second."""
    from unboxed.inference.run_config import RunConfig
    from unboxed.regions.extractor import RegionExtractor

    config = RunConfig.load(run)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(import_module, "torch")
        regions = RegionExtractor(config.regions, side_by_side=True)(image)
    from unboxed.inference.grounder import Grounder

    return Grounder.load(run), regions
