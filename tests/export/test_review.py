"""The review page: every box, the doubtful images first, and nothing that a caption could inject."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from random import Random
from typing import Any

import pytest
from PIL import Image

from unboxed.errors import ExportError
from unboxed.export.corrections import ACTIONS, CorrectedImage, Correction, apply, corrected
from unboxed.export.corrections_file import read_corrections
from unboxed.export.labelling import Labelled
from unboxed.export.labels_file import image_from_json, image_to_json
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
    return re.findall(r"<bdi>(.*?)</bdi>", page)


def test_images_whose_lowest_selected_box_is_closest_to_the_cut_come_first(
    labelled: Callable[..., Labelled], ground: Ground, tmp_path: Path
) -> None:
    scores = (0.9, 0.55, 0.3, 0.7)
    found = [ground("A dog.", ("A dog", DOG, score)) for score in scores]
    shown = write_review(tmp_path / "page.html", labelled(found, min_score=0.5), facts={"Run": "<run>"})
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert shown == 4 and _figures(page) == ["1.png", "3.png", "0.png", "2.png"]  # of the last, nothing was selected
    assert json.loads(re.search(r'"scores": (\[.*?\])', page).group(1)) == sorted(scores)  # type: ignore[union-attr]
    assert "&lt;run&gt;" in page and "4 images, 3 boxes of 1 name" in page
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
    assert _figures(page) == ["2.png"] and "2 images that are further from the thresholds are not on this page" in page


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


def test_no_boxes_at_all(labelled: Callable[..., Labelled], ground: Ground, tmp_path: Path) -> None:
    assert write_review(tmp_path / "page.html", labelled([ground("It.")]), facts={}) == 1
    assert '"scores": []' in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright_api = pytest.importorskip("playwright.sync_api", reason="the page is tested with the package playwright")
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        pytest.skip("no browser: apt-get install chromium, or set CHROMIUM")
    with playwright_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--headless", "--no-sandbox"])
        yield opened
        opened.close()


def test_corrections_are_downloaded_from_the_page_and_add_to_earlier_ones(
    labelled: Callable[..., Labelled], ground: Ground, tmp_path: Path, browser: Any
) -> None:
    found = labelled([ground("A dog.", ("A dog", DOG, 0.8)), ground("A cat.", ("A cat", CAT, 0.9))], min_score=0.5)
    second = apply(CorrectedImage.start(found.selection.images[1]), Correction("rename", 0, text="</script>lion"))
    states = {"1.png": second}
    found = replace(found, selection=corrected(found.selection, [second]), corrections=states)
    write_review(tmp_path / "page.html", found, facts={}, out=tmp_path / "coco.json")
    page = browser.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((tmp_path / "page.html").as_uri())
    card = page.locator("figure:has-text('0.png')")
    for name in ("Reject dog", "Accept dog", "Reject dog"):
        card.get_by_label(name).click()
    card.get_by_text("Undo").click()
    assert card.locator("li").get_attribute("class") == "c0"  # neither rejected nor left out

    card.locator(".frame").click()
    page.keyboard.press("Tab")
    for _ in range(9):  # to the box, from whatever has the focus first
        if page.evaluate("document.activeElement.matches('.outline')"):
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Alt+ArrowLeft")
    page.keyboard.press("Enter")
    page.keyboard.type("wolf")
    page.keyboard.press("Enter")
    page.keyboard.press("n")
    page.keyboard.type("bone")
    page.keyboard.press("Enter")
    place = page.locator(".editor svg").bounding_box()
    page.mouse.move(place["x"] + 3, place["y"] + 3)
    page.mouse.down()
    page.mouse.move(place["x"] + 60, place["y"] + 50, steps=3)
    page.mouse.up()
    page.wait_for_selector("#boxes li >> nth=2")
    page.keyboard.press("Escape")
    page.keyboard.press("Delete")
    page.wait_for_selector("#boxes li >> nth=2", state="detached")
    page.keyboard.press("c")
    page.wait_for_selector("#correct-name:text('1.png')")
    page.keyboard.press("Escape")
    assert card.locator(".chip:visible").all_inner_texts() == ["wolf", "bone"]
    with page.expect_download() as started:
        page.click("#download")
    started.value.save_as(tmp_path / "downloaded.jsonl")
    assert started.value.suggested_filename == "coco.corrections.jsonl" and not errors
    page.close()

    read = read_corrections(tmp_path / "downloaded.jsonl")
    first = read["0.png"]
    actions = "reject accept move rename add rename add delete check"
    assert " ".join(change.action for change in first.history) == actions
    assert first.checked and [box.label.category for box in first.boxes] == ["wolf", "bone"]
    assert first.boxes[0].label.box[0] < DOG[0] and first.boxes[1].label.mention.phrase == "bone"
    assert [box.label.category for box in read["1.png"].boxes] == ["</script>lion"]


def test_the_page_replays_corrections_as_the_file_does(
    ground: Ground, labelled: Callable[..., Labelled], browser: Any
) -> None:
    image = labelled([ground("A dog, a cat.", ("A dog", DOG, 0.9), ("a cat", CAT, 0.8))]).selection.images[0]
    random = Random(0)
    state = CorrectedImage.start(image_from_json(image_to_json(image)))
    for _ in range(200):
        action, box = random.choice(ACTIONS), random.randrange(state.added)
        edges = tuple(round(random.uniform(-20, 220), 2) for _ in range(4))
        change = Correction(action, box, edges, random.choice(["A dog", "  a\tcat", "bird"]))  # type: ignore[arg-type]
        with suppress(ExportError):  # no such box any more, or one without an area
            state = apply(state, change)
    script = files("unboxed.export").joinpath("replay.js").read_text(encoding="utf-8")
    page = browser.new_page()
    page.add_init_script(
        f"{script.replace('export ', '')}; window.replay = (label, all) => all.reduce(correctImage, startImage(label))"
    )
    page.goto("about:blank")
    replayed = page.evaluate(
        "([label, all]) => replay(label, all)", [image_to_json(image), [change.to_json() for change in state.history]]
    )
    found = [(b["number"], b["name"], b["phrase"], tuple(b["box"]), b["verdict"]) for b in replayed["boxes"]]
    wanted = [(b.number, b.label.category, b.label.mention.phrase, b.label.box, b.verdict) for b in state.boxes]
    assert found == wanted and replayed["checked"] == state.checked and len(state.history) > 50
