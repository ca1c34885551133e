"""The report is one complete, well-formed file that loads nothing and escapes all text."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unboxed.evaluation.box_rules import BoxRule
from unboxed.evaluation.grounding import GroundedMention, score_grounding
from unboxed.evaluation.report import GalleryItem, _heat, _parts, write_report
from unboxed.inference.results import GroundedPhrase, Grounding
from unboxed.types import Caption, Phrase, Regions

HOSTILE = """A <script>alert("1")</script> dog & 'ball' \"></figure>"""


class Page(HTMLParser):
    """What a page holds, and whether its elements nest."""

    EMPTY = frozenset({"meta", "img", "input", "hr", "br", "rect", "line", "circle", "path"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.EMPTY:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def of_class(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for _, attributes in self.elements if name in (attributes.get("class") or "").split()]


def item(folder: Path, text: str = "A dog chases a ball.", name: str = "image.png") -> GalleryItem:
    """An image whose first phrase is right, whose second is wrong."""
    Image.new("RGB", (100, 80), "#4080c0").save(folder / "image.png")
    boxes = np.array([[0, 0, 50, 50], [50, 40, 100, 80]], dtype=np.float32)
    second = len(text) - 6
    spans = [(0, 5), (second, len(text))]
    gold = tuple(Phrase(text[a:b], a, b, ("animals",), "1", boxes[:1]) for a, b in spans)
    answers = tuple(GroundedPhrase(text[a:b], a, b, boxes[i : i + 1], [1]) for i, (a, b) in enumerate(spans))
    regions = Regions(boxes, [1, 1], np.zeros((2, 0)), np.zeros((2, 0)), (), ("grid", "grid"), 100, 80)
    words = tuple(match.span() for match in re.finditer(r"\w+", text))
    attention = np.tile(np.array([[0.75, 0.25]], dtype=np.float32), (len(words), 1))
    return GalleryItem(folder / name, Caption(text, gold), Grounding(text, answers, words, regions, attention, 100, 80))


def report(
    folder: Path,
    *items: GalleryItem,
    title: str = "A title",
    log: tuple[dict[str, float], ...] = (),
    rule: BoxRule | None = None,
) -> str:
    box = np.array([[0.0, 0.0, 10.0, 10.0]])
    mentions = [GroundedMention(str(i), ("animals",), box, box[: i % 2], box) for i in range(20)]
    scores = score_grounding(mentions, rule=BoxRule() if rule is None else rule)
    worse = score_grounding([GroundedMention(str(i), ("animals",), box, box[: i % 4 == 0], box) for i in range(20)])
    write_report(
        folder / "new" / "report.html",
        title=title,
        scores=scores,
        baselines={"random region": worse},
        gallery=items,
        log=log,
        facts={"run": title},
    )
    return (folder / "new" / "report.html").read_text(encoding="utf-8")


def test_the_page_shows_numbers_pictures_and_curves(tmp_path):
    log = tuple({"step": step, "loss": 1 / step, "val_rsum": step} for step in range(1, 9))
    page = Page(report(tmp_path, item(tmp_path), item(tmp_path), log=log))
    assert page.open == []
    assert len(page.all("figure")) == len(page.all("img")) == 2
    assert len(page.all("path")) == 2
    assert "50.0" in page.text
    assert "random region" in page.text
    assert "1 of 2 right" in page.text
    assert [len(page.of_class(name)) for name in ("right", "wrong")] == [2, 2]
    assert len(page.of_class("chip")) == 4
    assert len(page.of_class("gold")) == 4


def test_the_page_names_the_convention_of_boxes_and_marks_phrases_by_it(tmp_path):
    """The second answer has an IoU of 1225 / 2500 with continuous edges, and of 1300 / 2500 with inclusive ones."""
    first = item(tmp_path)
    wrong = first.grounding.phrases[1]
    close = replace(wrong, boxes=np.array([[0, 0, 49, 25]], dtype=np.float32))
    shown = replace(first, grounding=replace(first.grounding, phrases=(first.grounding.phrases[0], close)))
    plain = Page(report(tmp_path, shown)).text
    assert "continuous boxes, IoU >= 0.5, a point on an edge is outside" in plain
    assert "1 of 2 right" in plain and "has IoU ≥ 0.5" in plain
    inclusive = Page(report(tmp_path, shown, rule=BoxRule(boxes="inclusive", overlap="above"))).text
    assert "inclusive boxes, IoU > 0.5, a point on an edge is outside" in inclusive
    assert "2 of 2 right" in inclusive and "has IoU > 0.5" in inclusive and "≥ 0.5" not in inclusive


def test_it_loads_nothing(tmp_path):
    text = report(tmp_path, item(tmp_path))
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\(|<link|\bfetch\(|XMLHttp", text)
    page = Page(text)
    sources = [v for _, attributes in page.elements for k, v in attributes.items() if k in ("src", "href", "srcset")]
    assert sources
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert any("default-src 'none'" in (meta.get("content") or "") for meta in page.all("meta"))


def test_all_text_is_escaped(tmp_path):
    page = Page(report(tmp_path, item(tmp_path, HOSTILE), title=HOSTILE))
    assert len(page.all("script")) == 1  # that of the page
    assert page.all("img")[0]["alt"] == HOSTILE
    assert HOSTILE in page.text
    assert page.open == []


def test_a_hostile_entity_type_stays_inside_its_attribute(tmp_path):
    plain = item(tmp_path)
    kind = "x' onload='alert(1)"
    phrases = tuple(Phrase(p.text, p.start, p.end, (kind,), p.chain, p.boxes) for p in plain.caption.phrases)
    page = Page(report(tmp_path, replace(plain, caption=Caption(plain.caption.text, phrases))))
    assert "onload" not in {name for _, attributes in page.elements for name in attributes}
    assert json.loads(page.all("figure")[0]["data-types"]) == [kind]


def test_an_image_is_shown_in_its_original_shape(tmp_path):
    text = report(tmp_path, replace(item(tmp_path), original_size=(300, 100)))
    assert "--shape:3.0000" in text
    assert 'viewBox="0 0 100 80"' in text  # boxes stay in pixels of the stored image


def test_an_unreadable_image_is_left_out_and_named(tmp_path):
    page = Page(report(tmp_path, item(tmp_path), item(tmp_path, name="gone.jpg")))
    assert len(page.all("figure")) == 1
    assert "gone.jpg" in page.text


def test_a_report_without_gallery_log_or_baselines(tmp_path):
    box = [[0, 0, 10, 10]]
    scores = score_grounding([GroundedMention("a", (), box, box, box)])
    path = tmp_path / "report.html"
    write_report(path, title="t", scores=scores, baselines={}, gallery=[], log=[], facts={})
    page = Page(path.read_text(encoding="utf-8"))
    assert page.open == []
    assert page.all("figure") == []


def test_a_failed_report_leaves_the_old_one_and_nothing_else(tmp_path, monkeypatch):
    report(tmp_path)
    before = (tmp_path / "new" / "report.html").read_bytes()

    def full(*_args, **_kwargs):
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="no space"):
        report(tmp_path, title="Another")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["report.html"]
    assert (tmp_path / "new" / "report.html").read_bytes() == before


def test_forty_images_stay_small(tmp_path):
    generator = np.random.default_rng(0)
    noise = Image.fromarray(generator.integers(0, 255, (60, 80, 3), dtype=np.uint8)).resize((1600, 1200))
    noise.save(tmp_path / "large.jpg")
    text = report(tmp_path, *[replace(item(tmp_path), image=tmp_path / "large.jpg")] * 40)
    assert len(text) < 6e6


def test_the_caption_is_cut_into_phrases_and_words_without_loss(tmp_path):
    grounding = item(tmp_path).grounding
    parts = _parts(grounding)
    assert "".join(piece["text"] for part in parts for piece in part["pieces"]) == grounding.caption
    assert [part["phrase"] for part in parts] == [0, None, 1]
    assert [piece["text"] for piece in parts[0]["pieces"]] == ["A", " ", "dog"]


def test_a_word_keeps_its_strongest_regions(tmp_path):
    heat = _heat(item(tmp_path).grounding)
    assert heat["boxes"] == [[0, 0, 500, 625], [500, 500, 1000, 1000]]
    assert heat["words"][0] == [0, 255, 1, 85]  # region 0 with all of the colour, region 1 with a third
