"""`unboxed search`: the images that fit a text, or the captions that fit an image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tyro.conf import OmitArgPrefixes, Positional

from unboxed.cli.output import phrase_line, print_json
from unboxed.errors import SearchError
from unboxed.inference.unknown_words import show_unknown_words
from unboxed.runtime.atomic import PICTURES, require_other, require_output
from unboxed.runtime.counts import require_count
from unboxed.runtime.progress import one_line, show
from unboxed.search.options import CandidateOptions

if TYPE_CHECKING:
    from unboxed.search import CaptionHit, Hit, Index

__all__ = ["search"]


def search(
    index: Positional[Path],
    words: Positional[tuple[str, ...]] = (),
    /,
    image: Path | None = None,
    k: Annotated[int, tyro.conf.arg(aliases=["-k"])] = 10,
    candidates: int = 100,
    save: Path | None = None,
    json: bool = False,
    finding: OmitArgPrefixes[CandidateOptions] = CandidateOptions(),  # noqa: B008, a frozen value
) -> None:
    """Find the images that match a sentence, or the captions that match an image.

    The match of a result is the score of the whole sentence and the image. It is higher for a better fit and has no
    fixed range: compare matches of one search only. The probability of a phrase is that it is in the image.

    Args:
        index: folder of the index, made by `unboxed index`.
        words: any sentence, with or without quotes.
        image: find captions that match this image instead.
        k: number of results.
        candidates: images that are ranked exactly: more are slower and miss less. Up to 1,000 images, all are ranked.
        save: write a contact sheet of the images found, or the image with its best caption, to this file (.png or
            .jpg).
        json: print one JSON object.
        finding: what finds the candidates.
    """
    text = " ".join(words)
    if text.strip() and image is not None:
        raise SearchError(f"A sentence finds images, and --image finds captions; leave out --image, or {text!r}.")
    if not text.strip() and image is None:
        raise SearchError('Nothing to find: give a sentence, as in `unboxed search INDEX "a dog"`, or --image FILE.')
    require_count("-k", k, error=SearchError)
    require_count("--candidates", candidates, error=SearchError)
    require_output(save, *([] if image is None else [image]), suffixes=PICTURES)
    from unboxed.search import Index

    opened = Index.open(index, faiss=finding.faiss, database=finding.database)
    if image is None:
        _search_images(opened, text, k, candidates, save, json)
    else:
        _search_captions(opened, image, k, candidates, save, json)


def _search_images(index: Index, text: str, k: int, candidates: int, save: Path | None, json: bool) -> None:
    hits = index.search(text, k, candidates)
    show_unknown_words(index.grounder, text, show, by_prior=False)  # images are ranked without it
    if save is not None:
        require_other(save, *(hit.image for hit in hits))
        from unboxed.search.contact_sheet import draw_contact_sheet
        from unboxed.visualization.draw import save_picture

        save_picture(save, draw_contact_sheet(text, hits))
    if json:
        found = [_hit_json({"photo": str(hit.image), "name": hit.name}, hit) for hit in hits]
        print_json({"query": text, "photos": len(index), "hits": found})
    else:
        _print_hits([(str(hit.image), hit) for hit in hits], save)


def _search_captions(index: Index, image: Path, k: int, candidates: int, save: Path | None, json: bool) -> None:
    hits = index.captions_for(image, k, candidates)
    if save is not None:
        from unboxed.data.images import open_image
        from unboxed.visualization.draw import draw_grounding, save_picture

        save_picture(save, draw_grounding(open_image(image), hits[0].caption, hits[0].grounding.present))
    if json:
        found = [_hit_json({"caption": hit.caption, "photo": str(hit.image)}, hit) for hit in hits]
        print_json({"photo": str(image), "captions": index.captions, "hits": found})
    else:
        _print_hits([(hit.caption, hit) for hit in hits], save)


def _hit_json(names: dict[str, Any], hit: Hit | CaptionHit) -> dict[str, Any]:
    size = {"width": hit.grounding.width, "height": hit.grounding.height}
    return {**names, "score": round(hit.score, 6), **size, **hit.grounding.to_dict(1)}


def _print_hits(hits: Sequence[tuple[str, Hit | CaptionHit]], save: Path | None) -> None:
    """Print each hit with its title and the boxes of its phrases."""
    for rank, (title, hit) in enumerate(hits, start=1):
        print(f"{rank}. {one_line(title)}  match {hit.score:.3f}")
        for phrase in hit.grounding.phrases:
            print(f"     {one_line(phrase_line(phrase))}")
    if save is not None:
        show(f"Picture: {save}")
