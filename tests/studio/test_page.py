"""The page of the studio in a real browser: upload, grounding, highlights, search, browsing, downloads, bad files."""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from PIL import Image

from unboxed.data.dataset import Dataset
from unboxed.export.corrections_file import read_corrections
from unboxed.export.labels_file import companion

playwright_api = pytest.importorskip("playwright.sync_api", reason="the page is tested with the package playwright")

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
CAPTION = "a red box beside a blue box"
SECRET = "a long enough secret"

pytestmark = pytest.mark.skipif(
    not Path(CHROMIUM).is_file(), reason=f"no browser at {CHROMIUM}: apt-get install chromium, or set CHROMIUM"
)


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[[Any], str]]:
    """Serves an application and returns its address."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(app: Any) -> str:
        listening = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        running.append((server, thread))
        return f"http://localhost:{listening.getsockname()[1]}/"

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join(10)


@pytest.fixture(scope="module")
def address(serve: Callable[[Any], str], make_studio: Callable[..., Any], drawn: Dataset) -> str:
    return serve(make_studio(dataset=drawn))


playwright_api.expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with playwright_api.sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("browser"),
            executable_path=CHROMIUM,
            args=[*arguments, "--disable-component-update", "--disable-sync"],
            viewport={"width": 1280, "height": 860},
            accept_downloads=True,
        )
        context.set_default_timeout(60_000)  # no test is timed: a busy machine may take long
        yield context
        context.close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """The open page. A JavaScript error, or a request to another site, fails the test."""
    page = browser.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: "Content Security" in message.text and wrong.append(message.text))
    page.on("request", lambda request: request.url.startswith((address, "blob:")) or wrong.append(request.url))
    page.goto(address)
    page.wait_for_selector("html[data-ready]")
    yield page
    page.close()
    assert not wrong


def _ground(page: Any, image: Path, caption: str = CAPTION) -> None:
    page.set_input_files("#file", image)
    page.fill("#caption", caption)
    page.click("#ground-button")
    page.wait_for_selector("#result:not([hidden])")


def _shows_heat(page: Any) -> bool:
    return "heat" in page.get_attribute("#picture .picture", "class").split()


def test_an_upload_is_grounded_and_words_show_their_attention(page: Any, images: Path) -> None:
    _ground(page, images / "3.png")
    assert page.locator("#caption-line .chip").all_inner_texts() == ["1a red box", "2a blue box"]
    assert page.locator("#picture .outline.best").count() == 2
    # A chip has the colour of its box.
    colour = "element => getComputedStyle(element).getPropertyValue('--colour')"
    assert page.locator("#caption-line .chip").first.evaluate(colour) == page.locator("#picture .tag").evaluate_all(
        "tags => tags.find(tag => tag.textContent.startsWith('1')).style.getPropertyValue('--colour')"
    )

    page.hover("#caption-line .chip >> nth=0 >> text=red")
    assert _shows_heat(page)
    drawn = "canvas => new Set(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data).size"
    assert page.locator("#picture canvas").evaluate(drawn) > 20  # many colours, not one
    assert page.locator("#picture .outline.on").count() == 1
    page.hover("h1")
    assert not _shows_heat(page)

    box = page.locator("#picture .outline").last.bounding_box()  # the smallest lies on top
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert page.locator("#caption-line .chip.on").count() == 1
    assert not _shows_heat(page)


def test_phrases_and_words_are_reached_with_the_keyboard(page: Any, images: Path) -> None:
    page.set_input_files("#file", images / "3.png")
    page.wait_for_selector("#picture:not([hidden])")
    page.fill("#caption", CAPTION)
    page.press("#caption", "Enter")
    page.wait_for_selector("#result:not([hidden])")
    page.keyboard.press("Tab")  # to the button
    page.keyboard.press("Tab")  # to the first phrase
    focused = "() => document.activeElement.getAttribute('aria-label')"
    assert page.evaluate(focused).startswith("a red box: score")
    assert _shows_heat(page)
    words = []
    for _ in range(4):
        page.keyboard.press("ArrowRight")
        words.append(page.inner_text("#caption-line .word.on"))
    assert words == ["a", "red", "box", "beside"]
    page.keyboard.press("Tab")
    assert page.evaluate(focused).startswith("a blue box")
    page.keyboard.press("Enter")
    assert page.get_attribute("#caption-line .chip >> nth=1", "aria-pressed") == "true"
    page.keyboard.press("Escape")
    assert page.get_attribute("#caption-line .chip >> nth=1", "aria-pressed") == "false"
    page.focus("#tab-ground")
    page.keyboard.press("ArrowRight")
    assert page.is_visible("#view-search")


def test_the_slider_and_the_number_of_boxes_choose_what_is_shown(page: Any, images: Path) -> None:
    _ground(page, images / "3.png")
    page.click("label[for=top-3]")
    assert page.locator("#picture .outline").count() == 6
    shown = page.locator("#phrases .rank").all_inner_texts()
    scores = sorted((float(text.removeprefix("score ")) for text in shown), reverse=True)
    page.locator("#min-score").evaluate(
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')); }", scores[0] - 0.005
    )
    left = page.locator("#picture .outline").count()
    assert 1 <= left < 6
    assert left == page.locator("#phrases .rank").count()


def test_boxes_are_downloaded(page: Any, images: Path, tmp_path: Path) -> None:
    _ground(page, images / "3.png")
    with page.expect_download() as expected:
        page.click("#downloads >> text=JSON")
    assert expected.value.suggested_filename == "3.json"
    expected.value.save_as(tmp_path / "3.json")
    content = json.loads((tmp_path / "3.json").read_text(encoding="utf-8"))
    assert (content["photo"], content["caption"], len(content["phrases"])) == ("3.png", CAPTION, 2)


def test_an_image_is_picked_from_the_folder(page: Any) -> None:
    page.fill("#caption", CAPTION)
    page.fill("#folder-filter", "17")
    playwright_api.expect(page.locator("#folder-images li")).to_have_count(1)
    page.click("#folder-images button")
    page.wait_for_selector("#result:not([hidden])")  # there was a caption already
    assert page.get_attribute("#folder-images button", "aria-pressed") == "true"


def test_a_bad_file_is_explained_and_a_good_one_follows(page: Any, images: Path, tmp_path: Path) -> None:
    bad = tmp_path / "holiday.jpg"
    bad.write_bytes(b"this is no image file")
    page.set_input_files("#file", bad)
    page.wait_for_selector("#ground-alert:not([hidden])")
    assert page.inner_text("#ground-alert").startswith("holiday.jpg (21 bytes) is not an image")
    assert page.is_visible("#drop-zone")
    page.set_input_files("#file", {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"hello"})
    assert page.inner_text("#ground-alert") == "notes.txt is not an image."
    _ground(page, images / "3.png")
    assert not page.is_visible("#ground-alert")


def test_a_search_fills_the_gallery_and_a_hit_opens(page: Any) -> None:
    page.click("#tab-search")
    page.fill("#query", "a red box")
    page.press("#query", "Enter")
    page.wait_for_selector("#gallery li")
    assert page.locator("#gallery li").count() == 24
    assert "The best 24 of 40 images" in page.inner_text("#search-status")
    page.click("#gallery li >> nth=2")
    page.wait_for_selector("#result:not([hidden])")
    assert page.input_value("#caption") == "a red box"
    assert page.get_attribute("#picture img", "alt") == "10.png"


def test_a_long_search_shows_its_progress(page: Any) -> None:
    held: list[Any] = []
    page.route("**/api/search*", lambda route: held.append(route))  # the answer is held back
    page.click("#tab-search")
    page.fill("#query", "a red box")
    page.press("#query", "Enter")
    playwright_api.expect(page.locator("#searching")).to_be_visible()
    for _ in range(1000):  # the page may show it before its request has come here
        if held:
            break
        page.wait_for_timeout(10)
    held[0].fulfill(content_type="application/x-ndjson", body='{"searched": 40, "seconds": 1.5}\n')
    playwright_api.expect(page.locator("#search-status")).to_have_text("Searching 40 images, 1.5 s")
    playwright_api.expect(page.locator("#searching")).to_be_hidden()


def test_a_dataset_is_browsed_by_right_and_wrong(page: Any) -> None:
    page.click("#tab-browse")
    playwright_api.expect(page.locator("#cards li")).to_have_count(12)
    page.wait_for_selector("#browsing", state="hidden")
    assert page.locator("#cards .outline.gold").count() > 0
    page.click("#browse-more")
    playwright_api.expect(page.locator("#cards li")).to_have_count(24)
    page.select_option("#outcome", "wrong")
    page.wait_for_selector("#browsing", state="hidden")
    assert page.locator("#cards li:not(:has(.badge.wrong))").count() == 0


def test_a_phrase_that_is_absent_has_a_box_only_where_gold_boxes_judge_it(page: Any) -> None:
    def make_absent(route: Any) -> None:
        answer = route.fetch()
        content = answer.json()
        for item in content["items"]:
            for phrase in item["phrases"]:
                phrase["present"] = False
        if "start=0" in route.request.url:
            for phrase in content["items"][0]["phrases"]:
                phrase |= {"gold": [], "outcome": None}
        route.fulfill(response=answer, json=content)

    page.route("**/api/browse*", make_absent)
    page.click("#tab-browse")
    cards = page.locator("#cards > li")
    playwright_api.expect(cards).to_have_count(12)
    assert cards.nth(0).locator(".outline").count() == 0 < cards.nth(0).locator(".chip.absent").count()
    assert "probably not in the image" in cards.nth(0).locator(".chip").first.get_attribute("aria-label")
    assert page.locator("#cards .outline.best").count() > 0
    assert page.locator("#cards .chip.absent:has(.badge)").count() == 0 < page.locator("#cards .chip .badge").count()
    assert page.locator("#cards .chip:not(.absent):not(:has(.badge))").count() == 0


def test_it_fits_a_phone_and_follows_the_colour_theme(page: Any, images: Path) -> None:
    page.set_viewport_size({"width": 345, "height": 720})
    _ground(page, images / "3.png")
    assert page.evaluate("document.documentElement.scrollWidth") <= 345
    background = "getComputedStyle(document.body).backgroundColor"
    page.emulate_media(color_scheme="light")
    light = page.evaluate(background)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(background)
    assert light != dark
    for expected in (light, dark):  # the button goes from the system's to light, and then to dark
        page.click("#theme")
        assert page.evaluate(background) == expected
    page.click("#theme")


def test_the_token_is_required_once(browser: Any, serve: Callable[[Any], str], make_studio: Callable[..., Any]) -> None:
    page = browser.new_page()
    page.goto(serve(make_studio(token=SECRET)))
    page.wait_for_selector("#token-dialog[open]")
    page.fill("#token", "not the right secret")
    page.press("#token", "Enter")
    page.wait_for_selector("#token-alert:not([hidden])")
    page.fill("#token", SECRET)
    page.press("#token", "Enter")
    page.wait_for_selector("html[data-ready]")
    page.reload()
    page.wait_for_selector("html[data-ready]")
    page.close()


def test_labels_are_corrected_with_the_keyboard_alone_and_with_a_pointer(
    browser: Any, serve: Callable[[Any], str], make_studio: Callable[..., Any], out: Path
) -> None:
    page = browser.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(serve(make_studio(labels=out)) + "#correct")
    expect = playwright_api.expect
    status = page.locator("#correct-status")
    expect(page.locator("#boxes li")).to_have_count(1)
    assert page.inner_text("#correct-captions") == "<b>A box</b>"  # text, not markup

    page.focus("#next-image")
    page.keyboard.press("Tab")  # to the box
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    expect(status).to_have_text("move: saved, 1 box")
    page.keyboard.press("Enter")
    page.keyboard.type("crate")
    page.keyboard.press("Enter")
    expect(status).to_have_text("rename: saved, 1 box")
    page.keyboard.press("n")
    expect(status).to_have_text("add: saved, 2 boxes")
    page.keyboard.type("toy")
    page.keyboard.press("Enter")
    expect(status).to_have_text("rename: saved, 2 boxes")
    page.keyboard.press("x")
    expect(status).to_have_text("reject: saved, 1 box")
    page.keyboard.press("u")
    expect(status).to_have_text("undo: saved, 2 boxes")
    page.focus("#box-choose-0")  # keys act on the box of the row that has the focus
    page.keyboard.press("a")
    expect(page.locator("#boxes li >> nth=0")).to_have_class("accepted chosen")
    page.keyboard.press("n")
    expect(status).to_have_text("add: saved, 3 boxes")
    page.keyboard.press("Enter")
    page.keyboard.press("Delete")  # the new box, not the one whose row had the focus
    expect(status).to_have_text("delete: saved, 2 boxes")

    place = page.locator(".editor svg").bounding_box()
    page.mouse.move(place["x"] + 3, place["y"] + 3)
    page.mouse.down()
    page.mouse.move(place["x"] + 30, place["y"] + 25, steps=3)
    page.mouse.up()
    expect(status).to_have_text("add: saved, 3 boxes")
    page.keyboard.press("Escape")
    page.keyboard.press("c")
    expect(page.locator("#correct-about")).to_contain_text("1 of 3 images checked")
    expect(page.locator("#correct-name")).to_have_text("1.png")

    state = read_corrections(companion(out, "corrections"))["0.png"]
    assert [box.label.category for box in state.boxes] == ["crate", "toy", "toy"] and state.checked
    moved = state.boxes[0].label.box
    assert moved[0] > 8 and moved[3] - moved[1] > 32 and moved[2] - moved[0] == pytest.approx(32)
    assert not errors
    page.close()


def test_the_row_of_the_selected_box_is_seen_in_a_long_list(
    browser: Any, serve: Callable[[Any], str], make_studio: Callable[..., Any], out: Path
) -> None:
    page = browser.new_page()
    page.goto(serve(make_studio(labels=out)) + "#correct")
    rows = page.locator("#boxes li")
    playwright_api.expect(rows).to_have_count(1)
    for count in range(2, 12):
        page.click("#add-box")
        playwright_api.expect(rows).to_have_count(count)
    is_seen = """row => {
        const [row_box, list] = [row, row.parentElement].map(element => element.getBoundingClientRect());
        return row_box.top >= list.top - 1 && row_box.bottom <= list.bottom + 1;
    }"""
    assert rows.last.evaluate(is_seen) and not rows.first.evaluate(is_seen)
    page.locator("rect[data-number='0']").first.focus()
    playwright_api.expect(rows.first).to_have_class("chosen")
    assert rows.first.evaluate(is_seen)
    page.close()


def test_a_link_has_the_image_and_its_captions_and_the_picture_is_downloaded(page: Any, address: str) -> None:
    page.click("#folder-images button >> nth=3")
    page.fill("#caption", f"{CAPTION}\n\n a green box ")
    page.press("#caption", "Enter")
    page.wait_for_selector("#result:not([hidden])")
    chips = page.locator("#caption-line .chip")
    playwright_api.expect(chips).to_have_count(2)
    page.check("#caption-1", force=True)  # its label is what is seen
    playwright_api.expect(chips).to_have_text(["1a green box"])
    with page.expect_download() as started:
        page.click("#downloads >> text=Picture")
    with Image.open(started.value.path()) as picture:
        assert picture.width == 96 and picture.height > 64  # with the caption below
    assert started.value.suggested_filename.endswith(".boxes.png")

    link = page.url
    assert link.startswith(f"{address}#ground?image=p") and "photos" not in link
    page.goto("about:blank")
    page.goto(link)
    playwright_api.expect(chips).to_have_count(2)
    assert page.input_value("#caption") == f"{CAPTION}\na green box"
    page.goto("about:blank")
    page.goto(f"{address}#ground?image=p000&caption=<b>a</b>")
    playwright_api.expect(page.locator("#ground-alert")).to_contain_text("no longer available")
    assert page.input_value("#caption") == "<b>a</b>"
