"""The contact sheet: every hit with its boxes in the colours of the query, whatever the number of hits and phrases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unboxed.inference.results import GroundedPhrase, Grounding
from unboxed.search.contact_sheet import draw_contact_sheet
from unboxed.search.index import Hit
from unboxed.types import Regions
from unboxed.visualization.draw import PALETTE

QUERY = "a dog chases a ball"
DOG, BALL = [10, 10, 60, 90], [120, 20, 190, 80]


def _hit(path: Path, *, name: str = "0.png", ball: float | None = 0.9, extra: int = 0) -> Hit:
    """A hit with the dog and the ball, and `extra` phrases with long texts."""
    phrases = []
    for text, box, confidence in (("a dog", DOG, 0.8), ("a ball", BALL, ball)):
        start = QUERY.index(text)
        phrases.append(GroundedPhrase(text, start, start + len(text), [box], [0.5], confidence=confidence))
    for number in range(extra):
        phrases.append(GroundedPhrase("a very long phrase " * 4, 90 + number, 91 + number, [DOG], [0.5]))
    none = np.zeros((0, 0))
    regions = Regions(np.zeros((0, 4)), np.zeros(0), none, none, (), (), 200, 100)
    return Hit(path, 1.25, Grounding(QUERY, tuple(phrases), (), regions, none, 200, 100), name)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A grey image of 200 x 100 pixels."""
    Image.new("RGB", (200, 100), "#777777").save(tmp_path / "0.png")
    return tmp_path / "0.png"


def _count(picture: Image.Image, colour: str) -> int:
    """How many pixels have this colour."""
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return int((np.abs(np.asarray(picture, dtype=int) - wanted).max(axis=2) < 12).sum())


@pytest.mark.parametrize(
    ("hits", "columns"), [(1, 1), (3, 3), (4, 4), (6, 3), (8, 4), (9, 3), (10, 5), (12, 4), (13, 5)]
)
def test_hits_are_in_rows_that_are_well_filled(hits: int, columns: int, image: Path) -> None:
    sheet = draw_contact_sheet(QUERY, [_hit(image)] * hits)
    rows = -(-hits // columns)
    assert sheet.width == 2 * 28 + columns * 340 + (columns - 1) * 22
    one = draw_contact_sheet(QUERY, [_hit(image)])
    assert _count(sheet, "#777777") == pytest.approx(hits * _count(one, "#777777"), rel=0.05)
    assert 300 * rows < sheet.height < 400 * rows + 200


def test_the_number_of_columns_may_be_given(image: Path) -> None:
    assert draw_contact_sheet(QUERY, [_hit(image)] * 4, columns=2).width == 2 * 28 + 2 * 340 + 22


def test_boxes_have_the_colours_of_the_phrases_of_the_query(image: Path) -> None:
    sheet = draw_contact_sheet(QUERY, [_hit(image)])
    assert all(_count(sheet, colour) > 500 for colour in PALETTE[:2])
    assert not _count(sheet, PALETTE[2])


def test_a_phrase_that_is_not_in_the_image_has_no_box(image: Path) -> None:
    there, absent = (_count(draw_contact_sheet(QUERY, [_hit(image, ball=p)]), PALETTE[1]) for p in (0.9, 0.1))
    assert absent < there - 500


def test_without_a_calibration_the_score_of_the_best_box_is_shown(image: Path) -> None:
    calibrated, uncalibrated = (draw_contact_sheet(QUERY, [_hit(image, ball=ball)]) for ball in (0.9, None))
    assert calibrated.size == uncalibrated.size and calibrated.tobytes() != uncalibrated.tobytes()


def test_long_names_are_shortened_and_many_phrases_take_more_lines(image: Path) -> None:
    long, short = (draw_contact_sheet(QUERY, [_hit(image, name=name)]) for name in ("folder/" * 20 + "0.png", "0.png"))
    assert long.size == short.size
    assert draw_contact_sheet(QUERY, [_hit(image, extra=3)]).height == short.height + 3 * 26


def test_an_image_whose_file_is_gone_leaves_an_empty_place(image: Path) -> None:
    sheet = draw_contact_sheet(QUERY, [_hit(image), _hit(image.with_name("gone.png"))])
    assert sheet.width == 2 * 28 + 2 * 340 + 22
    right = np.asarray(sheet)[:, 28 + 340 + 22 :]
    assert _count(Image.fromarray(right), "#EEF0F2") > 0.8 * 340 * 272
