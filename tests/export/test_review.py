"""The review page: every box, the doubtful images first, and nothing that a caption could inject."""

from __future__ import annotations

import html
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from unboxed.export.corrections import CorrectedImage, Correction, apply, corrected
from unboxed.export.corrections_file import read_corrections
from unboxed.export.labelling import Labelled
from unboxed.export.options import SelectionOptions
from unboxed.export.review import write_review
from unboxed.export.selection import select_boxes
from unboxed.inference.results import Grounding

Ground = Callable[..., Grounding]
DOG, CAT = [100, 50, 150, 100], [10, 20, 60, 90]


@pytest.fixture
def labelled(tmp_path: Path, ground: Ground) -> Callable[..., Labelled]:
    """Makes the labels of images of which each has one caption."""

    def make(groundings: list[Grounding], **options: Any) -> Labelled:
        names = [f"{i}.png" for i in range(len(groundings))]
        files = {name: tmp_path / name for name in names}
        for file in files.values():
            Image.new("RGB", (200, 100), "#808080").save(file)
        rule = SelectionOptions(**options)
        return Labelled(groundings, names, files, rule, select_boxes(groundings, names, rule), {})

    return make


def _figures(page: str) -> list[str]:
    """The names of the images in order."""
    return re.findall(r'<div class="name"><span>(.*?)</span>', page)


def test_images_whose_lowest_selected_box_is_closest_to_the_cut_come_first(
    labelled: Callable[..., Labelled], ground: Ground, tmp_path: Path
) -> None:
    scores = (0.9, 0.55, 0.3, 0.7)
    found = [ground("A dog.", ("A dog", DOG, score)) for score in scores]
    shown = write_review(tmp_path / "page.html", labelled(found, min_score=0.5), facts={"Run": "<run>"})
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert shown == 4 and _figures(page) == ["1.png", "3.png", "0.png", "2.png"]  # of the last, nothing was selected
    assert json.loads(re.search(r"SCORES = (\[.*?\])", page).group(1)) == sorted(scores)  # type: ignore[union-attr]
    assert "&lt;run&gt;" in page and "4 images, 3 boxes of 1 names" in page
    bars = [float(height) for height in re.findall(r'<rect x="\d+" width="8" y="[\d.]+" height="([\d.]+)"', page)]
    assert len(bars) == 40 and sum(bar > 0 for bar in bars) == 4


def test_without_a_cut_on_scores_the_probabilities_order_the_images(
    labelled: Callable[..., Labelled], ground: Ground, tmp_path: Path
) -> None:
    found = [ground("A dog.", ("A dog", DOG, 0.9 - c / 10), confidence=c) for c in (0.9, 0.6, 0.7, 0.2)]
    write_review(tmp_path / "page.html", labelled(found), facts={})
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert _figures(page) == ["1.png", "2.png", "0.png", "3.png"]
    assert "--min-confidence" in page and 'data-confidence="0.6"' in page


def test_the_limit_and_files_that_are_gone(labelled: Callable[..., Labelled], ground: Ground, tmp_path: Path) -> None:
    found = [ground("A dog.", ("A dog", DOG, score)) for score in (0.9, 0.6, 0.7)]
    labels = labelled(found, min_score=0.5)
    labels.files["1.png"].unlink()
    assert write_review(tmp_path / "page.html", labels, facts={}, limit=2) == 1
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert _figures(page) == ["2.png"] and "2 images that are further from the cut are not on this page" in page


def test_captions_and_names_are_escaped_and_nothing_is_loaded(
    labelled: Callable[..., Labelled], ground: Ground, tmp_path: Path
) -> None:
    hostile = '</script><img src=x onerror="alert(1)">'
    found = [ground(f"{hostile} is a dog.", (hostile, DOG, 0.9))]
    write_review(tmp_path / "page.html", labelled(found, names="phrases"), facts={"Run": hostile})
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<img src=x" not in page and page.count("</script>") == 1
    assert "default-src 'none'" in page and not re.search(r'(src|href)="(?!data:)', page)


def test_boxes_of_rare_names_and_images_without_any_are_on_the_page(
    labelled: Callable[..., Labelled], ground: Ground, tmp_path: Path
) -> None:
    found = [
        ground("A dog.", ("A dog", DOG, 0.9), ("A dog", CAT, 0.8)),
        ground("It.", ("It", DOG, 0.9), confidence=None),
    ]
    write_review(tmp_path / "page.html", labelled(found, min_boxes=9), facts={})
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Names with fewer than 9 boxes are on this page, but not in the file" in page
    assert "no phrase of its captions names an object" in page
    assert len(re.findall(r"<li class=", page)) == 2


def test_the_command_that_moves_and_adds_boxes_is_on_the_page(
    labelled: Callable[..., Labelled], ground: Ground, tmp_path: Path
) -> None:
    out = tmp_path / "my labels.json"
    write_review(tmp_path / "page.html", labelled([ground("It.")]), facts={"Run": "run"}, out=out)
    page = html.unescape((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert f"To move, resize or add boxes, run <code>unboxed studio run --labels '{out}'</code>" in page


def test_no_boxes_at_all(labelled: Callable[..., Labelled], ground: Ground, tmp_path: Path) -> None:
    assert write_review(tmp_path / "page.html", labelled([ground("It.")]), facts={}) == 1
    assert "SCORES = []" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_corrections_are_downloaded_from_the_page_and_add_to_earlier_ones(
    labelled: Callable[..., Labelled], ground: Ground, tmp_path: Path
) -> None:
    playwright_api = pytest.importorskip("playwright.sync_api", reason="the page is tested with the package playwright")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no browser: apt-get install chromium")
    found = labelled([ground("A dog.", ("A dog", DOG, 0.9)), ground("A cat.", ("A cat", CAT, 0.8))], min_score=0.5)
    second = apply(CorrectedImage.start(found.selection.images[1]), Correction("rename", 0, text="</script>lion"))
    states = {"1.png": second}
    found = replace(found, selection=corrected(found.selection, [second]), corrections=states)
    write_review(tmp_path / "page.html", found, facts={}, out=tmp_path / "coco.json")
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--headless", "--no-sandbox"])
        page = browser.new_page()
        page.on("dialog", lambda dialog: dialog.accept("wolf"))
        page.goto((tmp_path / "page.html").as_uri())
        for action in ("Rename dog", "Reject dog", "Accept dog"):
            page.click(f"[aria-label='{action}']")
        page.click("figure:has-text('0.png') >> text=Undo")
        page.click("figure:has-text('0.png') >> text=Checked")
        with page.expect_download() as started:
            page.click("#download")
        started.value.save_as(tmp_path / "downloaded.jsonl")
        assert started.value.suggested_filename == "coco.corrections.jsonl"
        browser.close()
    read = read_corrections(tmp_path / "downloaded.jsonl")
    first = read["0.png"]
    assert [(c.action, c.box, c.text) for c in first.history] == [
        ("rename", 0, "wolf"), ("reject", 0, None), ("check", None, None),
    ]  # fmt: skip
    assert first.checked and [box.label.category for box in read["1.png"].boxes] == ["</script>lion"]
