"""Downloads contain the boxes that the page shows, in every format."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from unboxed.inference.grounder import Grounder
from unboxed.inference.results import Grounding
from unboxed.studio.downloads import FORMATS, write_download


@pytest.fixture(scope="module")
def grounding(grounder: Grounder, images: Path) -> Grounding:
    """Two phrases: the first is probably present, the second is probably absent."""
    found = grounder.ground(images / "3.png", "a red box beside a blue box")
    present, absent = (replace(p, confidence=c) for p, c in zip(found.phrases, (0.9, 0.2), strict=True))
    return replace(found, phrases=(present, absent))


def _scores(format_name: str, content: str) -> list[float]:
    if format_name == "csv":
        return [float(row["score"]) for row in csv.DictReader(io.StringIO(content))]
    if format_name == "coco":
        return [annotation["score"] for annotation in json.loads(content)["annotations"]]
    return [score for phrase in json.loads(content)["phrases"] for score in phrase["scores"]]


@pytest.mark.parametrize("format_name", FORMATS)
def test_absent_phrases_have_boxes_only_on_request(format_name: str, grounding: Grounding) -> None:
    for absent, expected in ((False, 1), (True, 2)):
        content = write_download(format_name, grounding, "3.png", top=1, min_score=None, absent=absent)
        assert len(_scores(format_name, content)) == expected


@pytest.mark.parametrize("format_name", FORMATS)
def test_boxes_below_the_minimum_score_and_beyond_the_top_are_left_out(format_name: str, grounding: Grounding) -> None:
    for top in (1, 3):
        scores = sorted((float(s) for phrase in grounding.phrases for s in phrase.scores[:top]), reverse=True)
        for min_score in (None, scores[1], scores[0] + 1):
            kept = [score for score in scores if min_score is None or score >= min_score]
            content = write_download(format_name, grounding, "3.png", top=top, min_score=min_score, absent=True)
            assert sorted(_scores(format_name, content), reverse=True) == pytest.approx(kept, abs=1e-4)


def test_every_format_names_the_image(grounding: Grounding) -> None:
    for format_name in FORMATS:
        assert "holiday.png" in write_download(format_name, grounding, "holiday.png", top=1, min_score=None)
