"""Verbs that use a trained run: boxes for the phrases of a caption."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional

from unboxed.cli.output import print_json
from unboxed.progress import say

__all__ = ["ground"]


def ground(
    run: Positional[Path],
    photo: Positional[Path],
    caption: Positional[str],
    /,
    save: Path | None = None,
    json: bool = False,
    top: int = 5,
) -> None:
    """Box the phrases of a caption in a photograph.

    Args:
        run: folder of the run.
        photo: the photograph.
        caption: any sentence; its noun phrases are boxed.
        save: write the photograph with its boxes here (.png or .jpg).
        json: print one JSON object.
        top: boxes a phrase in the JSON, best first.
    """
    from unboxed.data.photos import open_photo
    from unboxed.model import Grounder
    from unboxed.phrases import noun_phrases
    from unboxed.types import Caption

    given = Caption(caption, noun_phrases(caption))
    image = open_photo(photo)
    grounding = Grounder.load(run).ground(image, given)
    if save is not None:
        from unboxed.pictures import draw_grounding, save_picture

        save_picture(save, draw_grounding(image, caption, grounding.phrases))
    if json:
        print_json(grounding.to_dict(top))
    else:
        for phrase in grounding.phrases:
            box = ", ".join(f"{edge:.0f}" for edge in phrase.boxes[0])
            print(f"{phrase.text}: [{box}]  {phrase.scores[0]:.2f}")
        if save is not None:
            say(f"Picture: {save}")
