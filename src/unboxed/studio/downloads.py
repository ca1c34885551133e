"""The boxes of a grounding as a file to take away."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

from unboxed.types import Grounding

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


def download(form: str, grounding: Grounding, name: str, top: int, least: float | None) -> str:
    """The content of a file of one of `FORMATS`.

    Args:
        form: its name.
        grounding: what was found.
        name: of the photograph.
        top: boxes a phrase.
        least: boxes of a lower score are left out.
    """
    phrases = []
    for phrase in grounding.phrases:
        keep = slice(0, top if least is None else min(top, int((phrase.scores >= least).sum())))
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


FORMATS = {"json": Download("JSON", "json", "application/json", _json)}
