"""The boxes of a grounding as a file to take away."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

from unboxed.export import coco, csv
from unboxed.export.selection import BoxChoice
from unboxed.inference.results import Grounding

__all__ = ["FORMATS", "Download", "download"]


@dataclass(frozen=True)
class Download:
    """A format.

    Attributes:
        label: its name for people.
        suffix: of the file.
        media_type: for the browser.
        write: a grounding and the photograph's name to the file's content.
    """

    label: str
    suffix: str
    media_type: str
    write: Callable[[Grounding, str], str]


def download(form: str, grounding: Grounding, name: str, top: int, least: float | None, absent: bool = False) -> str:
    """The content of a file of one of `FORMATS`.

    Args:
        form: its name.
        grounding: what was found.
        name: of the image.
        top: boxes a phrase.
        least: boxes of a lower score are left out.
        absent: also boxes of phrases that seem not to be in the image.
    """
    phrases = []
    for phrase in grounding.phrases:
        kept = top if least is None else min(top, int((phrase.scores >= least).sum()))
        keep = slice(0, kept if phrase.present or absent else 0)
        phrases.append(replace(phrase, boxes=phrase.boxes[keep], scores=phrase.scores[keep]))
    return FORMATS[form].write(replace(grounding, phrases=tuple(phrases)), name)


def _json(grounding: Grounding, name: str) -> str:
    about = {
        "photo": name,
        "width": grounding.width,
        "height": grounding.height,
        "caption": grounding.caption,
    }
    return json.dumps(about | grounding.to_dict(), ensure_ascii=False, indent=1) + "\n"


def _coco(grounding: Grounding, name: str) -> str:
    content = coco.dataset([grounding], [name], _as_shown(grounding))
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def _csv(grounding: Grounding, name: str) -> str:
    return csv.text([grounding], [name], _as_shown(grounding))


def _as_shown(grounding: Grounding) -> BoxChoice:
    """All boxes that are left, each under its phrase: those that are not wanted have gone already."""
    most = max((len(phrase.boxes) for phrase in grounding.phrases), default=1)
    return BoxChoice(min_score=float("-inf"), min_confidence=0, top=max(most, 1), names="phrases", merge=1)


FORMATS = {
    "json": Download("JSON", "json", "application/json", _json),
    "coco": Download("COCO", "coco.json", "application/json", _coco),
    "csv": Download("CSV", "csv", "text/csv; charset=utf-8", _csv),
}
