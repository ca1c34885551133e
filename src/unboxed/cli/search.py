"""Verbs that keep an index of images and search it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tyro.conf import Positional

from unboxed.cli.output import print_json, print_unknown_words
from unboxed.errors import SearchError
from unboxed.runtime.progress import show

if TYPE_CHECKING:
    from unboxed.inference.results import Grounding
    from unboxed.search import CaptionHit, Hit, Index

__all__ = ["index", "search"]


def index(
    run: Positional[Path],
    photos: Positional[Path],
    /,
    out: Path,
    split: str | None = None,
    regions: Path | None = None,
    again: bool = False,
    workers: int | None = None,
    strict: bool = False,
    recall: int = 20,
    faiss: bool = False,
    json: bool = False,
) -> None:
    """Look at images once, so that they can be searched; again, at what changed.

    The index holds exactly the images of PHOTOS afterwards. One that was looked at before, under whatever name,
    is not looked at again, and an interrupted call goes on where it stopped.

    Args:
        run: folder of the run.
        photos: a folder of images (and those in its subfolders), or a dataset's TOML file, CSV or JSONL, whose
            captions can then be searched too.
        out: folder of the index.
        split: only this split of a dataset.
        regions: store of the dataset's regions; without one they are found in the images.
        again: look at all images anew where another run made the index.
        workers: threads that look at images; one for each core by default.
        strict: stop at the first image that cannot be read instead of skipping it.
        recall: queries to measure with what the two stages of a search miss, in an index of over 1,000 images.
        faiss: measure as well what a search with `--faiss` misses.
        json: print one JSON object.
    """
    from unboxed.search import Index, index_images

    summary = index_images(
        run, photos, out, split=split, regions=regions, again=again, workers=workers, strict=strict, show=show
    )
    show(str(summary))
    measured = Index.open(out).own_recall(recall) if recall > 0 else None
    if measured is not None:
        show(f"A search finds {measured:.1%} of the 10 best images of a full ranking ({recall} queries)")
    measured_faiss = Index.open(out, faiss=True).own_recall(recall) if measured is not None and faiss else None
    if measured_faiss is not None:
        show(f"With --faiss it finds {measured_faiss:.1%} of them")
    show(f'Search them: unboxed search {out} "…"')
    if json:
        print_json(summary.to_dict() | {"recall_at_10": measured, "recall_at_10_faiss": measured_faiss})


def search(
    index: Positional[Path],
    words: Positional[tuple[str, ...]] = (),
    /,
    photo: Path | None = None,
    k: Annotated[int, tyro.conf.arg(aliases=["-k"])] = 10,
    candidates: int = 100,
    save: Path | None = None,
    json: bool = False,
    faiss: bool = False,
) -> None:
    """Find images for a sentence, or captions for an image, in an index.

    Args:
        index: folder of the index, made by `unboxed index`.
        words: any sentence, in quotes or not.
        photo: find captions for this image instead.
        k: how many at most.
        candidates: how many are ranked exactly; more find more, and take longer. Of up to 1,000 all are.
        save: write a contact sheet of the images found (or the image with its best caption) here (.png or .jpg).
        json: print one JSON object.
        faiss: find the candidates with faiss, for some millions of images and more.
    """
    text = " ".join(words)
    if bool(text.strip()) == (photo is not None):
        raise SearchError('Say what to find: a sentence, as in `unboxed search INDEX "a dog"`, or --photo FILE.')
    if k < 1 or candidates < 1:
        raise SearchError(f"-k is {k} and --candidates {candidates}; expected at least 1.")
    from unboxed.search import Index

    opened = Index.open(index, faiss=faiss)
    if photo is None:
        _images(opened, text, k, candidates, save, json)
    else:
        _captions(opened, photo, k, candidates, save, json)


def _images(index: Index, text: str, k: int, candidates: int, save: Path | None, json: bool) -> None:
    hits = index.search(text, k, candidates)
    print_unknown_words(index.grounder, text)
    if save is not None:
        from unboxed.search.contact_sheet import draw_contact_sheet
        from unboxed.visualization.draw import save_picture

        save_picture(save, draw_contact_sheet(text, hits))
    about = {"query": text, "photos": len(index)}
    _tell(about, [({"photo": str(hit.image), "name": hit.name}, str(hit.image), hit) for hit in hits], save, json)


def _captions(index: Index, photo: Path, k: int, candidates: int, save: Path | None, json: bool) -> None:
    hits = index.captions_for(photo, k, candidates)
    if save is not None:
        from unboxed.data.images import open_image
        from unboxed.visualization.draw import draw_grounding, save_picture

        shown = [phrase for phrase in hits[0].phrases if phrase.present]
        save_picture(save, draw_grounding(open_image(photo), hits[0].caption, shown))
    about = {"photo": str(photo), "captions": index.captions}
    _tell(about, [({"caption": hit.caption, "photo": str(hit.image)}, hit.caption, hit) for hit in hits], save, json)


def _tell(
    about: dict[str, Any], hits: list[tuple[dict[str, Any], str, Hit | CaptionHit]], save: Path | None, json: bool
) -> None:
    """What was found: of each hit what names it to a program, and to people."""
    if json:
        found = [{**named, "score": round(hit.score, 6), **_boxes(hit.grounding)} for named, _, hit in hits]
        print_json({**about, "hits": found})
        return
    for rank, (_, title, hit) in enumerate(hits, start=1):
        print(f"{rank}. {title}  {hit.score:.3f}")
        _print_phrases(hit.grounding)
    if save is not None:
        show(f"Picture: {save}")


def _boxes(grounding: Grounding) -> dict[str, Any]:
    return {"width": grounding.width, "height": grounding.height, **grounding.to_dict(1)}


def _print_phrases(grounding: Grounding) -> None:
    for phrase in grounding.phrases:
        box = ", ".join(f"{edge:.0f}" for edge in phrase.boxes[0])
        boxed = f"[{box}]  {phrase.scores[0]:.2f}" if phrase.present else "not in the picture"
        sure = "" if phrase.confidence is None else f"  (confidence {phrase.confidence:.2f})"
        print(f"     {phrase.text}: {boxed}{sure}")
