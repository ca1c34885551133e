"""Pages of a dataset: the order of captions, the filter, and where regions come from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unboxed.data.dataset import Dataset, load_dataset
from unboxed.errors import NoRegionsError
from unboxed.inference.grounder import Grounder
from unboxed.studio.browse import OUTCOMES, DatasetBrowser, PhraseFilter, _caption_order
from unboxed.studio.grounding_cache import ExtractedImage, GroundingCache
from unboxed.studio.image_library import ImageLibrary
from unboxed.studio.options import Limits
from unboxed.studio.schemas import BrowsedPhrase


@pytest.fixture(scope="module")
def make_browser(grounder: Grounder, tiny_run: Path) -> Callable[..., DatasetBrowser]:
    """Makes a browser of a dataset's val split: `make_browser(dataset, run=…)`."""

    def make(dataset: Dataset, run: Path = tiny_run) -> DatasetBrowser:
        limits = Limits()
        return DatasetBrowser(GroundingCache(grounder, limits, ImageLibrary(limits)), dataset, "val", run, limits)

    return make


def _phrase(types: tuple[str, ...], outcome: str | None) -> BrowsedPhrase:
    fields: dict[str, Any] = {"text": "a man", "start": 0, "end": 5, "boxes": [], "scores": [], "gold": []}
    return BrowsedPhrase(**fields, types=list(types), outcome=outcome)


@pytest.mark.parametrize(
    ("wanted", "matching"),
    [
        (PhraseFilter(), ["ok", "loose box", "background", None]),
        (PhraseFilter(outcome="right"), ["ok"]),
        (PhraseFilter(outcome="wrong"), ["loose box", "background"]),
        (PhraseFilter(outcome="loose box"), ["loose box"]),
    ],
)
def test_a_filter_selects_outcomes(wanted: PhraseFilter, matching: list[str | None]) -> None:
    outcomes = ["ok", "loose box", "background", None]
    assert [outcome for outcome in outcomes if wanted.matches(_phrase(("people",), outcome))] == matching
    of_a_type = PhraseFilter("animals", wanted.outcome)
    assert not any(of_a_type.matches(_phrase(("people",), outcome)) for outcome in outcomes)
    assert [o for o in outcomes if of_a_type.matches(_phrase(("people", "animals"), o))] == matching


@given(st.lists(st.integers(0, 3), max_size=60))
def test_the_captions_of_a_group_of_images_take_turns(captions: list[int]) -> None:
    examples: Any = tuple(SimpleNamespace(captions=range(count)) for count in captions)
    expected = []
    for start in range(0, len(captions), 24):
        for c in range(3):
            expected += [(e, c) for e in range(start, min(start + 24, len(captions))) if c < captions[e]]
    assert _caption_order(examples) == expected


def test_an_image_that_cannot_be_read_is_left_out(
    make_browser: Callable[..., DatasetBrowser], tiny_dataset: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    rows = ["image,caption,split"]
    for name in ("0.png", "1.png", "2.png", "3.png"):
        folder.joinpath(name).write_bytes((tiny_dataset.parent / "photos" / name).read_bytes())
        rows.append(f"photos/{name},a box in {name},{'val' if name < '2' else 'train'}")
    (tmp_path / "captions.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    browser = make_browser(load_dataset(tmp_path / "captions.csv"))
    (folder / "1.png").write_bytes(b"damaged since")
    page = browser.page(0, 10, PhraseFilter(), 60)
    assert [item.photo.name for item in page.items] == ["photos/0.png"]
    assert (page.looked_at, page.next, page.total) == (2, None, 2)
    assert page.items[0].phrases[0].outcome is None  # there are no gold boxes
    assert not browser.info.outcomes


def test_an_image_without_a_region_is_left_out(
    make_browser: Callable[..., DatasetBrowser], drawn: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    browser = make_browser(drawn, run=tmp_path)
    extract, first = browser._cache.extract, drawn.split("val").examples[0].image_id

    def of_others(content: None, image_id: str) -> ExtractedImage:
        entry = browser._cache.library.get(image_id)
        if entry is not None and entry.name == first:
            raise NoRegionsError("No source proposed a region.")
        return extract(content, image_id)

    monkeypatch.setattr(browser._cache, "extract", of_others)
    page = browser.page(0, 2, PhraseFilter(), 60)
    assert len(page.items) == 2 and all(item.photo.name != first for item in page.items)


def test_regions_of_the_store_of_the_run_are_used(
    make_browser: Callable[..., DatasetBrowser], tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def extract(*_: Any) -> None:
        raise AssertionError("the regions are in the store")

    browser = make_browser(load_dataset(tiny_dataset))
    monkeypatch.setattr(browser._cache, "extract", extract)
    first = browser.page(0, 3, PhraseFilter(), 60)
    assert [item.photo.name for item in first.items] == ["0.png", "5.png", "10.png"]
    assert browser.page(0, 3, PhraseFilter(), 60) == first  # from the cache


def test_a_damaged_store_is_ignored(
    make_browser: Callable[..., DatasetBrowser], grounder: Grounder, drawn: Dataset, tmp_path: Path
) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "store.json").write_text("{}")
    browser = make_browser(drawn, run=tmp_path)
    page = browser.page(0, 2, PhraseFilter(), 60)
    assert len(page.items) == 2
    assert all(phrase.outcome in ("ok", *OUTCOMES, None) for item in page.items for phrase in item.phrases)
