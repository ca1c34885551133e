"""The command `unboxed ground`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import OmitArgPrefixes, Positional

from unboxed.cli.output import phrase_line, print_json
from unboxed.errors import ExportError
from unboxed.inference.unknown_words import show_unknown_words
from unboxed.runtime.atomic import PICTURES, require_other, require_output
from unboxed.runtime.counts import require_count
from unboxed.runtime.progress import one_line, show

if TYPE_CHECKING:
    import PIL.Image

    from unboxed.inference.grounder import Grounder
    from unboxed.inference.results import Grounding
    from unboxed.runtime.parts import Part
    from unboxed.types import Caption, Regions

__all__ = ["PrintOptions", "ground"]


@dataclass(frozen=True)
class PrintOptions:
    """How groundings are printed.

    Attributes:
        save: write the image with its boxes to this file (.png or .jpg); of a folder's images, into this folder.
        json: print one JSON object; of a folder, a line with one for each image.
        top: boxes for each phrase in the JSON, best first.
        absent: also show the boxes of phrases that are probably not in the image. The JSON always has them.
    """

    save: Path | None = None
    json: bool = False
    top: int = 5
    absent: bool = False

    def __post_init__(self) -> None:
        require_count("top", self.top, error=ExportError)


def ground(
    run: Positional[Path],
    image: Positional[Path],
    caption: Positional[str] = "",
    /,
    phrases: str | None = None,
    printing: OmitArgPrefixes[PrintOptions] = PrintOptions(),
    part: str | None = None,
) -> None:
    """Find the box of each phrase of a caption in an image, or in each image of a folder.

    The run comes first: `unboxed ground RUN photo.jpg "a man in a red hat"`. A phrase that names several things, such
    as "two people", has a box for each that is found. The probability that a phrase is in the image is calibrated on
    the collection that the run was trained on; `unboxed calibrate` calibrates it for another one.

    Args:
        run: folder of the run.
        image: the image file, or a folder of images.
        caption: any sentence; a box is found for each of its noun phrases. Not needed with --phrases.
        phrases: ground these phrases, separated by commas, such as "laptop, red car". With a caption, they are parts of
            it; without one, each stands for itself.
        printing: what is printed and saved.
        part: K/N: only the images of part K of N of a folder, with --json; `unboxed merge` joins the lines.
    """
    from unboxed.data.images import open_image
    from unboxed.errors import ImageError
    from unboxed.runtime.parts import Part

    captions = _captions(caption, phrases)
    of_part = None if part is None else Part.parse(part)
    if of_part is not None and not (image.is_dir() and printing.json):
        raise ImageError("--part is for the images of a folder, as lines of JSON: name a folder, and add --json.")
    if image.is_dir():
        require_other(printing.save, image)
        _ground_folder(run, image, captions, printing, of_part)
        return
    require_output(printing.save, image, suffixes=PICTURES)
    pixels = open_image(image)
    grounder, regions = _load_and_extract(run, image)
    show_unknown_words(grounder, " ".join(each.text for each in captions), show)
    groundings = grounder.ground_regions(regions, captions)
    _Printed(printing).report(image, pixels, groundings)


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


def _ground_folder(run: Path, folder: Path, captions: list[Caption], printing: PrintOptions, part: Part | None) -> None:
    """Ground captions in every image of a folder, or of a part; images that cannot be used are skipped, and named."""
    from unboxed.data.image_files import left_out_lines, list_folder
    from unboxed.data.images import open_image
    from unboxed.errors import ImageError, NoRegionsError
    from unboxed.inference.grounder import Grounder
    from unboxed.runtime.parts import PartRecord

    listing = list_folder(folder)
    if not listing.images:
        raise ImageError(f"There are no images in {folder}; name a folder with images, or one image.")
    grounder = Grounder.load(run)
    show_unknown_words(grounder, " ".join(each.text for each in captions), show)
    skipped = 0
    names = [str(file.relative_to(folder)) for file in listing.images]
    record = None if part is None else PartRecord.of(part, names, _made_with(run, captions, printing.top))
    printed = _Printed(printing, _pictures(names))
    for name, file in zip(names, listing.images, strict=True):
        if record is not None and name not in record.places:
            continue
        try:
            pixels = open_image(file)
            groundings = grounder.ground_regions(grounder.regions_of(file), captions)
        except (ImageError, NoRegionsError) as error:
            skipped += 1
            show(f"Skipped {name}: {error}")
            continue
        printed.report(Path(name), pixels, groundings)
    for line in left_out_lines(listing.left_out):
        show(line)
    if record is not None:
        print_json(record._replace(finished=True).to_dict())
    elif skipped == len(listing.images):
        raise ImageError(f"None of the {skipped:,} images in {folder} could be used.")


def _pictures(names: list[str]) -> dict[Path, Path]:
    """The picture of each image by name: `a.png` for `a.jpg`, and `a.jpg.png` where another one may be `a.png`."""
    full = {Path(name): Path(f"{name}.png") for name in names}
    wanted = Counter([*(path.with_suffix(".png") for path in full), *full.values()])
    return {path: short if wanted[short := path.with_suffix(".png")] == 1 else full[path] for path in full}


def _made_with(run: Path, captions: list[Caption], top: int) -> list[str]:
    """What all parts of a folder must share."""
    from unboxed.export.groundings_file import run_key

    return [run_key(run, None), f"top {top}", *map(repr, captions)]


@dataclass(frozen=True)
class _Printed:
    """Prints groundings; `pictures`: of the images of a folder, the name of each one's picture."""

    options: PrintOptions
    pictures: Mapping[Path, Path] | None = None

    def report(self, image: Path, pixels: PIL.Image.Image, groundings: list[Grounding]) -> None:
        """Print the groundings of an image, and save its picture."""
        from unboxed.inference.results import joined_groundings

        options, grounding = self.options, joined_groundings(groundings)
        saved = None if options.save is None else self._saved(options.save, image, pixels, grounding)
        if options.json:
            content = grounding.to_dict(options.top)
            print_json({"image": str(image), **content} if self.pictures else content)
            return
        if self.pictures:
            print(one_line(f"{image}"))
        for phrase in grounding.phrases:
            print(("  " if self.pictures else "") + one_line(phrase_line(phrase, options.absent)))
        if saved is not None and not self.pictures:
            show(f"Picture: {saved}")

    def _saved(self, save: Path, image: Path, pixels: PIL.Image.Image, grounding: Grounding) -> Path:
        from unboxed.visualization.draw import draw_grounding, save_picture

        place = save if self.pictures is None else save / self.pictures[image]
        shown = [phrase for phrase in grounding.phrases if phrase.present or self.options.absent]
        save_picture(place, draw_grounding(pixels, grounding.caption, shown))
        return place


def _load_and_extract(run: Path, image: Path) -> tuple[Grounder, Regions]:
    """Load the model and extract the image's regions, at the same time: importing PyTorch takes over a second."""
    from unboxed.inference.run_config import RunConfig
    from unboxed.regions.cached_extractor import CachedExtractor

    config = RunConfig.load(run)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(import_module, "torch")
        regions = CachedExtractor(config.regions, side_by_side=True).of_file(image)
    from unboxed.inference.grounder import Grounder

    return Grounder.load(run), regions
