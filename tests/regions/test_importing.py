"""Features that others computed: joined by the images' names, in the dataset's frame, gone on with, never guessed."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unboxed.data import load_dataset
from unboxed.data.dataset import Dataset
from unboxed.errors import DatasetError, RegionsError, StoreError
from unboxed.regions.base import FeatureImporter, PrecomputedImage, join_id
from unboxed.regions.extraction import RegionExtractor
from unboxed.regions.importing import import_regions, open_features
from unboxed.regions.settings import ImportedRegions, RegionSettings, settings_from_dict
from unboxed.regions.store import RegionStore


class _Source(FeatureImporter):
    """Images from a list."""

    def __init__(self, listed: Sequence[PrecomputedImage], form: str = "tsv", has_boxes: bool = True) -> None:
        self.listed, self.has_boxes = listed, has_boxes
        self.format = form  # type: ignore[misc]

    def images(self, wanted: Collection[str]) -> Iterator[PrecomputedImage]:
        return (image for image in self.listed if join_id(image.image_id) in wanted)


def _features(count: int, width: int = 3) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, width)).astype(np.float32)


def _image(image_id: str, boxes: object, size: tuple[int, int] | None = (40, 20), **more: object) -> PrecomputedImage:
    array = np.array(boxes, np.float32).reshape(-1, 4)
    return PrecomputedImage(image_id, _features(len(array)), array, size, **more)  # type: ignore[arg-type]


@pytest.fixture
def table(tmp_path: Path) -> Dataset:
    """Images a and b, of which nothing but captions is known."""
    (tmp_path / "captions.csv").write_text("image,caption,split\na.jpg,A man.,train\nb.jpg,A dog.,val\n")
    (tmp_path / "data.toml").write_text('format = "table"\nimages = false\nannotations = "captions.csv"\n')
    return load_dataset(tmp_path / "data.toml")


def _coco(tmp_path: Path, extra: str = "") -> Dataset:
    """Image 7, of 40 x 20 pixels."""
    images = [{"id": 7, "file_name": "000000000007.png", "width": 40, "height": 20}]
    content = {"images": images, "annotations": [{"image_id": 7, "caption": "A man."}]}
    (tmp_path / "captions.json").write_text(json.dumps(content))
    (tmp_path / "coco.toml").write_text(f'format = "coco"\n{extra}\n[splits]\ntrain = "captions.json"\n')
    return load_dataset(tmp_path / "coco.toml")


def _import(dataset: Dataset, store: Path, *images: PrecomputedImage, **more: object) -> RegionStore:
    import_regions(dataset, _Source(images), store, progress=False, **more)  # type: ignore[arg-type]
    return RegionStore.open(store)


def test_what_is_imported_is_read_back(table: Dataset, tmp_path: Path) -> None:
    first = _image("a", [[0, 0, 40, 20], [10, 5, 20, 10]], scores=np.array([0.5, 1], np.float32))
    store = _import(table, tmp_path / "store", first, _image("b", [[0, 0, 1, 0.5]], None))
    assert isinstance(store.settings, ImportedRegions)
    assert (store.settings.imported, store.settings.boxes, store.feature_width) == ("tsv", True, 3)
    regions = store["a.jpg"]
    assert (regions.width, regions.height) == (1, 1), "shares, because the dataset knows no pixels"
    np.testing.assert_allclose(regions.boxes, [[0, 0, 1, 1], [0.25, 0.25, 0.5, 0.5]])
    np.testing.assert_allclose(regions.features, _features(2), rtol=1e-3)
    assert (regions.scores.tolist(), regions.sources) == ([0.5, 1], ("imported", "imported"))
    np.testing.assert_allclose(store["b.jpg"].boxes, [[0, 0, 1, 0.5]])


@pytest.mark.parametrize("names", [("7.jpg", "007.jpg"), ("a.jpg", "a.png")])
def test_two_images_that_the_same_features_would_belong_to_are_named(names: tuple[str, str], tmp_path: Path) -> None:
    rows = "".join(f"{name},A man.,train\n" for name in names)
    (tmp_path / "captions.csv").write_text(f"image,caption,split\n{rows}")
    (tmp_path / "data.toml").write_text('format = "table"\nimages = false\nannotations = "captions.csv"\n')
    message = f"{names[0]} and {names[1]} of .* differ only in their suffix or leading zeros"
    with pytest.raises(RegionsError, match=message):
        _import(load_dataset(tmp_path / "data.toml"), tmp_path / "store", _image(names[0], [[0, 0, 9, 9]]))
    with (tmp_path / "data.toml").open("a") as file:
        file.write(f'exclude = ["{names[1]}"]\n')
    assert list(_import(load_dataset(tmp_path / "data.toml"), tmp_path / "store", _image(names[0], [[0, 0, 9, 9]])))


@pytest.mark.parametrize("stored", [None, (40, 20), (80, 40), (20, 20)])
@pytest.mark.parametrize("size", [(40, 20), (400, 200), (1, 1)])
def test_boxes_are_pixels_of_the_stored_image(
    tmp_path: Path, stored: tuple[int, int] | None, size: tuple[int, int]
) -> None:
    if stored:
        (tmp_path / "images").mkdir()
        Image.new("RGB", stored).save(tmp_path / "images" / "7.png")
        (tmp_path / "images" / "7.png").rename(tmp_path / "images" / "000000000007.png")
    dataset = _coco(tmp_path, 'images = "images"' if stored else "")
    width, height = stored or (40, 20)
    boxes = np.array([[0, 0, 1, 1], [0.25, 0.5, 0.5, 1]], np.float32)
    image = _image("7", boxes * [*size, *size], size if size != (1, 1) else None)
    regions = _import(dataset, tmp_path / "store", image)["7"]
    assert (regions.width, regions.height) == (width, height)
    np.testing.assert_allclose(regions.boxes, boxes * [width, height, width, height], atol=1e-4)


def test_pixels_of_an_unknown_frame(table: Dataset, tmp_path: Path) -> None:
    """Where the source names no size, boxes are taken as pixels of the dataset's image, or reach its edges."""
    boxes = [[0, 0, 40, 10], [10, 10, 20, 20]]
    np.testing.assert_allclose(_import(_coco(tmp_path), tmp_path / "1", _image("7", boxes, None))["7"].boxes, boxes)
    reaching = _import(table, tmp_path / "2", _image("a", boxes, None))["a.jpg"].boxes
    np.testing.assert_allclose(reaching, [[0, 0, 1, 0.5], [0.25, 0.5, 0.5, 1]])


def test_without_boxes_every_region_is_the_whole_image(tmp_path: Path) -> None:
    source = _Source([PrecomputedImage("7", _features(2))], "scan", has_boxes=False)
    summary = import_regions(_coco(tmp_path), source, tmp_path / "store", progress=False)
    assert "grounding cannot be scored" in str(summary)
    assert RegionStore.open(tmp_path / "store")["7"].boxes.tolist() == [[0, 0, 40, 20]] * 2


def test_an_import_goes_on_where_it_stopped(table: Dataset, tmp_path: Path) -> None:
    one, two = _image("a", [[0, 0, 40, 20]]), _image("b.jpg", [[0, 0, 9, 9]])

    def run(*images: PrecomputedImage) -> tuple[int, int, tuple[str, ...]]:
        summary = import_regions(table, _Source(images), tmp_path / "store", progress=False)
        return summary.done, summary.reused, summary.missing

    assert run(one) == (1, 0, ("b.jpg",))
    assert run(two, one, one) == (1, 1, ())
    assert run(one, _image("b", [[0, 0, 8, 8]])) == (1, 1, ()), "what changed is imported anew"
    np.testing.assert_allclose(RegionStore.open(tmp_path / "store")["b.jpg"].boxes, [[0, 0, 0.2, 0.4]])
    with pytest.raises(StoreError, match=r'made with other settings \(imported: "tsv" there, "hdf5" here\)'):
        import_regions(table, _Source([one], "hdf5"), tmp_path / "store", progress=False)
    with pytest.raises(StoreError, match='imported: "tsv" there, null here'):
        RegionStore.create_or_resume(tmp_path / "store", RegionSettings())


def test_labels_are_class_scores_when_their_names_are_given(table: Dataset, tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("man\ndog\ncat\n")
    scores, labels = np.array([0.5, 0.25], np.float32), np.array([2, 0])
    image = _image("a", [[0, 0, 1, 1], [0, 0, 1, 1]], scores=scores, labels=labels)
    store = _import(table, tmp_path / "store", image, class_names=tmp_path / "classes.txt")
    assert store["a.jpg"].class_probs.tolist() == [[0, 0, 0.5], [0.25, 0, 0]]
    assert store["a.jpg"].names == ("cat", "man")
    image = _image("a", [[0, 0, 1, 1]], labels=np.array([3]))
    with pytest.raises(RegionsError, match="have the class 3, but 3 are named"):
        _import(table, tmp_path / "other", image, class_names=tmp_path / "classes.txt")


def test_the_first_regions_of_an_image(table: Dataset, tmp_path: Path) -> None:
    image = _image("a", [[0, 0, 40, 20]] * 5, scores=np.linspace(1, 0.5, 5, dtype=np.float32), labels=np.arange(5))
    (tmp_path / "names.txt").write_text("\n".join("abcde"))
    named = {"class_names": tmp_path / "names.txt"}
    kept = _import(table, tmp_path / "store", image, first=2, **named)["a.jpg"]
    np.testing.assert_allclose(kept.features, _features(5)[:2], rtol=1e-3)
    assert kept.class_probs.argmax(axis=1).tolist() == [0, 1] and kept.scores.tolist() == [1, 0.875]
    assert len(_import(table, tmp_path / "store", image, first=9, **named)["a.jpg"]) == 5
    with pytest.raises(RegionsError, match="first is 0"):
        _import(table, tmp_path / "other", image, first=0)


def test_images_without_regions_are_missing(table: Dataset, tmp_path: Path) -> None:
    source = _Source([_image("a", []), _image("b", [[0, 0, 1, 1]])])
    assert import_regions(table, source, tmp_path / "store", progress=False).missing == ("a.jpg",)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (_image("8", [[0, 0, 1, 1]]), "none of the 1 images of .*named such as '7'.*`ids` chooses"),
        (_image("7", [[0, 0, 30, 30]], (30, 30)), "image of 30 x 30 pixels, the dataset's has 40 x 20"),
        (_image("7", [[0, 0, 100, 50]], None), "reach beyond the image of 40 x 20"),
        (_image("7", [[0, 0, np.nan, 5]]), "features of 7 are not usable: .*NaN"),
        (_image("7", [[0, 0, np.inf, 5]]), "features of 7 are not usable: .*infinite"),
        (_image("7", [[0, 0, 1, 1]], scores=np.array([7], np.float32)), "scores outside 0..1"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, image: PrecomputedImage, message: str) -> None:
    with pytest.raises(RegionsError, match=message):
        _import(_coco(tmp_path), tmp_path / "store", image)


def test_features_of_two_networks(table: Dataset, tmp_path: Path) -> None:
    other = PrecomputedImage("b", _features(1, 5), np.zeros((1, 4), np.float32))
    with pytest.raises(StoreError, match="b has 5 features a region, those before 3"):
        _import(table, tmp_path / "store", _image("a", [[0, 0, 1, 1]]), other)


def test_imported_settings_survive_and_cannot_look_at_an_image() -> None:
    settings = ImportedRegions(imported="scan", boxes=False)
    again = settings_from_dict(json.loads(json.dumps(settings.to_dict())))
    assert again == settings and again.fingerprint() == settings.fingerprint()
    assert RegionSettings().fingerprint() != ImportedRegions(imported="scan").fingerprint() != settings.fingerprint()
    assert "imported" not in RegionSettings().to_dict(), "the fingerprints of other stores stay as they were"
    with pytest.raises(RegionsError, match="imported from scan features, and nothing here computes such features"):
        RegionExtractor(again)
    with pytest.raises(RegionsError, match="need the name of the format"):
        ImportedRegions()


def test_a_dataset_without_images_has_no_default_regions(table: Dataset) -> None:
    with pytest.raises(DatasetError, match=r"no images to find regions in; .* store of features .* --regions"):
        RegionSettings.default_for(table)


def test_features_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(RegionsError, match="does not exist; --features names"):
        open_features(tmp_path / "none", "tsv")
    with pytest.raises(RegionsError, match="unknown format 'csv'; expected one of: scan, tsv, hdf5"):
        open_features(tmp_path, "csv")


def test_the_file_of_class_names_must_have_some(table: Dataset, tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    with pytest.raises(RegionsError, match=r"names\.txt cannot be read .*one class a line"):
        _import(table, tmp_path / "store", class_names=names)
    names.write_text("\n")
    with pytest.raises(RegionsError, match=r"names\.txt is empty; write one class a line"):
        _import(table, tmp_path / "store", class_names=names)


def test_a_summary_names_images_without_features(table: Dataset, tmp_path: Path) -> None:
    summary = import_regions(table, _Source([_image("b", [[0, 0, 1, 1]])]), tmp_path / "store", progress=False)
    assert str(summary).splitlines()[1] == "Without features: 1 image of the dataset, such as a.jpg."
