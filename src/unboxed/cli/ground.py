"""The command `unboxed ground`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from unboxed.cli.output import print_json, print_unknown_words
from unboxed.runtime.progress import show

if TYPE_CHECKING:
    import PIL.Image

    from unboxed.inference.grounder import Grounder
    from unboxed.inference.results import GroundedPhrase, Grounding
    from unboxed.types import Caption, Regions

__all__ = ["ground"]


def ground(
    run: Positional[Path],
    image: Positional[Path],
    caption: Positional[str] = "",
    /,
    phrases: str | None = None,
    save: Path | None = None,
    json: bool = False,
    top: int = 5,
    absent: bool = False,
) -> None:
    """Find the box of each phrase of a caption in an image, or in each image of a folder.

    Args:
        run: folder of the run.
        image: the image file, or a folder of images.
        caption: any sentence; a box is found for each of its noun phrases. Not needed with --phrases.
        phrases: ground these phrases, separated by commas, such as "laptop, red car". With a caption, they are parts of
            it; without one, each stands for itself.
        save: write the image with its boxes to this file (.png or .jpg); of a folder's images, into this folder.
        json: print one JSON object; of a folder, a line with one for each image.
        top: boxes for each phrase in the JSON, best first.
        absent: also show the boxes of phrases that are probably not in the image. The JSON always has them.
    """
    from unboxed.data.images import open_image

    captions = _captions(caption, phrases)
    if image.is_dir():
        _ground_folder(run, image, captions, _Printed(save, json, top, absent, in_folder=True))
        return
    pixels = open_image(image)
    grounder, regions = _load_and_extract(run, pixels)
    for own in captions:
        print_unknown_words(grounder, own.text)
    groundings = grounder.ground_regions(regions, captions)
    _Printed(save, json, top, absent).report(image, pixels, groundings)


def _captions(caption: str, phrases: str | None) -> list[Caption]:
    """The captions to ground: the caption, with its noun phrases or those listed, or each listed phrase alone."""
    from unboxed.errors import CaptionError
    from unboxed.text.phrases import given_phrases, listed_phrases, noun_phrases
    from unboxed.types import Caption

    if phrases is not None:
        return [given_phrases(caption, phrases)] if caption else list(listed_phrases(phrases))
    if not caption:
        raise CaptionError('Name a caption, such as "a man in a red hat", or phrases: --phrases "laptop, red car".')
    return [Caption(caption, noun_phrases(caption))]


def _ground_folder(run: Path, folder: Path, captions: list[Caption], printed: _Printed) -> None:
    """Ground captions in every image of a folder; images that cannot be used are skipped, and named."""
    from unboxed.data.image_files import left_out_lines, list_folder
    from unboxed.data.images import open_image
    from unboxed.errors import ImageError
    from unboxed.inference.grounder import Grounder

    listing = list_folder(folder)
    if not listing.images:
        raise ImageError(f"There are no images in {folder}; name a folder with images, or one image.")
    grounder = Grounder.load(run)
    for own in captions:
        print_unknown_words(grounder, own.text)
    skipped = 0
    for file in listing.images:
        try:
            pixels = open_image(file)
            groundings = grounder.ground_regions(grounder.regions_of(pixels), captions)
        except ImageError as error:
            skipped += 1
            show(f"Skipped {file.relative_to(folder)}: {error}")
            continue
        printed.report(file.relative_to(folder), pixels, groundings)
    for line in left_out_lines(listing.left_out):
        show(line)
    if skipped == len(listing.images):
        raise ImageError(f"None of the {skipped:,} images in {folder} could be used.")


@dataclass(frozen=True)
class _Printed:
    """How groundings are printed; the options of the command, and whether there are several images."""

    save: Path | None
    json: bool
    top: int
    absent: bool
    in_folder: bool = False

    def report(self, image: Path, pixels: PIL.Image.Image, groundings: list[Grounding]) -> None:
        """Print the groundings of an image, and save its picture."""
        from unboxed.inference.results import joined_groundings

        grounding = joined_groundings(groundings)
        saved = None if self.save is None else self._saved(self.save, image, pixels, grounding)
        if self.json:
            content = grounding.to_dict(self.top)
            print_json({"image": str(image), **content} if self.in_folder else content)
            return
        if self.in_folder:
            print(f"{image}")
        for phrase in grounding.phrases:
            print(("  " if self.in_folder else "") + _phrase_line(phrase, self.absent))
        if saved is not None and not self.in_folder:
            show(f"Picture: {saved}")

    def _saved(self, save: Path, image: Path, pixels: PIL.Image.Image, grounding: Grounding) -> Path:
        from unboxed.visualization.draw import draw_grounding, save_picture

        place = save / image.with_suffix(".png") if self.in_folder else save
        shown = [phrase for phrase in grounding.phrases if phrase.present or self.absent]
        save_picture(place, draw_grounding(pixels, grounding.caption, shown))
        return place


def _phrase_line(phrase: GroundedPhrase, absent: bool) -> str:
    parts = []
    if phrase.present or absent:
        parts.append(f"[{', '.join(f'{edge:.0f}' for edge in phrase.boxes[0])}]")
    parts.append(phrase.strength if phrase.present else f"probably not in the image ({phrase.strength})")
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
