"""`unboxed label`: captions in, box annotations out, and a page to look them over."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from unboxed.cli import main
from unboxed.data.images import read_image
from unboxed.errors import ExportError, ImageError, UnboxedError
from unboxed.export import labeller
from unboxed.export.labelling import label_dataset
from unboxed.export.options import LabelOptions, SelectionOptions
from unboxed.recipes.sprm import SPRM
from unboxed.regions import cached_extractor
from unboxed.training.fitting import FitSettings, fit

CUT = ["--split", "val", "--min-score", "0.04"]  # after so short a training no score is high


@pytest.fixture(scope="module")
def labelled(tiny_run: Path, tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the tiny dataset was labelled: coco.json, its groundings and the page."""
    folder = tmp_path_factory.mktemp("labelled")
    page = ["--review", str(folder / "review.html")]
    main(["label", str(tiny_dataset), "--run", str(tiny_run), *CUT, "--out", str(folder / "coco.json"), *page])
    return folder


def test_a_dataset_becomes_boxes_under_the_names_of_its_phrases(labelled: Path) -> None:
    content = json.loads((labelled / "coco.json").read_text())
    assert len(content["images"]) == 8
    assert content["images"][0] == {"id": 0, "file_name": "0.png", "width": 96, "height": 64}
    assert [category["name"] for category in content["categories"]] == ["box"]
    assert content["annotations"]
    for annotation in content["annotations"]:
        assert annotation["score"] >= 0.04
        x, y, width, height = annotation["bbox"]
        assert 0 <= x < x + width <= 96
        assert 0 <= y < y + height <= 64
        assert annotation["sentence"][annotation["start"] : annotation["end"]] == annotation["phrase"]


def test_the_page_has_every_box_the_doubtful_first_and_asks_for_nothing(labelled: Path) -> None:
    page = (labelled / "review.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in page
    assert not re.search(r'(src|href)="(?!data:)', page)
    rows = re.findall(r'<li class="c\d+" data-box="\d+"[^>]* data-score="([\d.]+)"', page)
    scores = json.loads(re.search(r'"scores": (\[.*?\])', page).group(1))  # type: ignore[union-attr]
    assert sorted(map(float, rows)) == pytest.approx(scores)
    lowest = []
    for figure in page.split("<figure>")[1:]:
        own = list(map(float, re.findall(r'<li [^>]*data-score="([\d.]+)"', figure)))
        assert own == sorted(own)
        lowest.append(min((score for score in own if score >= 0.04), default=2.0))
    assert len(lowest) == 8
    assert lowest == sorted(lowest)


def test_another_call_goes_on_where_one_was_cut_short(
    labelled: Path, tiny_run: Path, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (labelled / "coco.groundings.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "coco.groundings.jsonl").write_bytes(b"".join(lines[:5])[:-40])  # the last line was half written
    call = ["label", str(tiny_dataset), "--run", str(tiny_run), *CUT, "--out"]
    main([*call, str(tmp_path / "coco.json")])
    taken = int(re.search(r"(\d+) images? taken from", capsys.readouterr().err).group(1))  # type: ignore[union-attr]
    assert 3 <= taken < 8  # some pictures of this dataset are equal
    assert (tmp_path / "coco.json").read_bytes() == (labelled / "coco.json").read_bytes()
    main([*call, str(tmp_path / "coco"), "--format", "yolo"])
    said = capsys.readouterr().err
    assert "8 images taken from" in said
    listed = (tmp_path / "coco" / "train.txt").read_text() + (tmp_path / "coco" / "val.txt").read_text()
    assert f"{tmp_path / 'coco'}: 8 images" in said
    for image in listed.splitlines():
        assert (tmp_path / "coco" / image).is_file()
        assert (tmp_path / "coco" / image.replace("images", "labels")).with_suffix(".txt").read_text()
    assert (tmp_path / "coco" / "phrases.csv").read_text().startswith("image,width,height,label,score")


def test_a_call_for_fewer_boxes_does_not_look_at_the_images_again(
    tiny_run: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    for top, taken in ((8, False), (1, True), (8, True)):
        lines: list[str] = []
        options, selection = LabelOptions("csv", split="val"), SelectionOptions(top=top)
        label_dataset(tiny_dataset, tiny_run, tmp_path / "a.csv", options, selection, progress=False, show=lines.append)
        assert any(line.startswith("8 images taken from") for line in lines) == taken


def test_the_file_of_a_new_image_is_read_once(
    tiny_run: Path, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    for module in (labeller, cached_extractor):
        monkeypatch.setattr(module, "read_image", lambda path: read.append(path) or read_image(path))
    monkeypatch.setenv("UNBOXED_CACHE", "off")
    label_dataset(tiny_dataset, tiny_run, tmp_path / "coco.json", LabelOptions(split="val"), progress=False)
    assert len(read) == len(set(read)) == 8


def test_an_unreadable_image_is_skipped_and_named_or_stops_a_strict_call(
    labelled: Path, tiny_run: Path, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(tiny_dataset.parent, tmp_path / "data")
    broken = tmp_path / "data" / "photos" / "15.png"
    broken.write_bytes(broken.read_bytes()[:90])
    shutil.copy(labelled / "coco.groundings.jsonl", tmp_path / "boxes.groundings.jsonl")
    call = [
        "label",
        str(tmp_path / "data" / "data.toml"),
        "--run",
        str(tiny_run),
        "--out",
        str(tmp_path / "boxes.csv"),
        "--split",
        "val",
    ]
    main([*call, "--format", "csv"])
    said = capsys.readouterr().err
    assert re.search(r"Skipped 15\.png: .*15\.png", said)
    assert "7 images, " in said
    assert "1 image skipped" in said
    assert re.search(r"No box scores at least 0\.3; the best .* 0\.\d\d", said)
    (tmp_path / "boxes.csv").unlink()
    with pytest.raises(SystemExit):
        main([*call, "--format", "csv", "--strict"])
    assert "15.png" in capsys.readouterr().err
    assert not (tmp_path / "boxes.csv").exists()


def test_a_calibrated_run_is_cut_by_confidence_alone_unless_a_score_is_named(
    tiny_run: Path, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(tiny_run, tmp_path / "run")
    config = json.loads((tiny_run / "config.json").read_text())
    config["presence"] = {"slope": 1.0, "bias": 5.0, "phrases": 10}  # sure of everything
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    call = ["label", str(tiny_dataset), "--run", str(tmp_path / "run"), "--split", "val", "--out"]
    main([*call, str(tmp_path / "coco.json"), "--review", str(tmp_path / "review.html")])
    annotations = json.loads((tmp_path / "coco.json").read_text())["annotations"]
    assert annotations and min(found["score"] for found in annotations) < 0.3
    assert all(found["confidence"] >= 0.5 for found in annotations)
    assert 'data-confidence="' in (tmp_path / "review.html").read_text(encoding="utf-8")
    main([*call, str(tmp_path / "coco.json"), "--min-confidence", "1"])
    assert not json.loads((tmp_path / "coco.json").read_text())["annotations"]
    assert "not in the image" in capsys.readouterr().err


def test_regions_of_a_store_are_labelled_like_those_found_in_the_images(
    tiny_world: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, store = tiny_world
    run = tmp_path / "run"
    fit("sprm", SPRM(untrained=True, joint_width=32), FitSettings(data, run, regions=store))
    call = ["label", str(data), "--run", str(run), "--split", "val", "--min-score", "0", "--out"]
    main([*call, str(tmp_path / "stored.json"), "--regions", str(store)])
    main([*call, str(tmp_path / "found.json")])
    stored, found = (json.loads((tmp_path / name).read_text()) for name in ("stored.json", "found.json"))
    assert stored["images"] == found["images"] and len(stored["annotations"]) > 8
    for ours, theirs in zip(stored["annotations"], found["annotations"], strict=True):
        assert ours["phrase"] == theirs["phrase"] and ours["bbox"] == pytest.approx(theirs["bbox"], abs=0.5)


@pytest.mark.parametrize(
    ("form", "place", "message"),
    [
        ("coco", "folder", r"folder is a folder; the coco format is one file, such as .*folder.boxes\.json"),
        ("csv", "folder", r"such as .*boxes\.csv"),
        ("csv", "file.csv", "was not written by `unboxed label`; choose another name, or remove it"),
        ("coco", "new.csv", r"is no name for the coco format; let it end in \.json, or add --format csv\."),
        ("csv", "new.jsonl", r"is no name for the csv format; let it end in \.csv, or add --format hf\."),
        ("coco", "file.txt", r"is no name for the coco format; let it end in \.json\."),
        ("yolo", "new.csv", "is no name for the yolo format; name a folder, or add --format csv"),
        ("yolo", "file.txt", "is in the way: the yolo format is a folder of its own"),
        ("yolo", "full", r"is in the way: .*, and file\.txt is not part of it; name a new folder"),
    ],
)
def test_something_else_in_the_place_of_the_output_is_left_alone(
    form: str, place: str, message: str, tiny_run: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "full").mkdir()
    for name in ("file.txt", "file.csv", "full/file.txt"):
        (tmp_path / name).write_text("mine")
    with pytest.raises(ExportError, match=message):
        label_dataset(tiny_dataset, tiny_run, tmp_path / place, LabelOptions(form), show=print)
    assert len(list(tmp_path.rglob("*"))) == 5


def test_a_yolo_dataset_of_another_program_is_not_replaced(tiny_run: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(tiny_dataset.parent / "photos", mine / "images")
    (mine / "labels").mkdir()
    (mine / "data.yaml").write_text("names: [dog]\n")
    before = sorted(mine.rglob("*"))
    with pytest.raises(ExportError, match=r"is in the way: .*, and data\.yaml is not part of it"):
        label_dataset(tiny_dataset, tiny_run, mine, LabelOptions("yolo"))
    assert sorted(mine.rglob("*")) == before


def test_an_older_yolo_folder_is_replaced_unless_it_holds_what_is_read(
    tiny_run: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    out, options = tmp_path / "out", LabelOptions("yolo", find="a red box", image_files="copies")
    shutil.copytree(tiny_dataset.parent / "photos", tmp_path / "images")
    label_dataset(tmp_path / "images", tiny_run, out, options)
    (out / "labels.cache").touch()  # of a trainer
    label_dataset(tmp_path / "images", tiny_run, out, options)
    assert not (out / "labels.cache").exists()
    with pytest.raises(UnboxedError, match=r"is read by this command, which would replace .*out; choose"):
        label_dataset(out / "images", tiny_run, out, options)
    (out / "captions.csv").write_text("image,caption\n")
    with pytest.raises(ExportError, match=r"captions\.csv is not part of it"):
        label_dataset(tmp_path / "images", tiny_run, out, options)


def test_images_that_other_programs_hardly_open_are_named(tiny_run: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    shutil.copy(tiny_dataset.parent / "photos" / "3.png", tmp_path / "images" / "phone.HEIC")  # read by its content
    lines: dict[str, list[str]] = {name: [] for name in ("csv", "yolo")}
    for form, shown in lines.items():
        options = LabelOptions(format=form, find="a red box")
        label_dataset(tmp_path / "images", tiny_run, tmp_path / f"boxes.{form}", options, show=shown.append)
    assert any("HEIC images, which browsers and OpenCV do not open: 1, such as phone.HEIC" in n for n in lines["csv"])
    assert not any("HEIC" in line for line in lines["yolo"])
    assert (tmp_path / "boxes.yolo" / "images" / "phone.jpg").is_file()


def test_images_that_cannot_be_used_at_all_are_an_error(tiny_run: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_dataset.parent, tmp_path / "data")
    for file in (tmp_path / "data" / "photos").iterdir():  # the header is read before, the pixels are not
        file.write_bytes(file.read_bytes()[:90])
    with pytest.raises(ImageError, match=r"None of the 8 images could be used; .*png"):
        label_dataset(
            tmp_path / "data" / "data.toml",
            tiny_run,
            tmp_path / "out.csv",
            LabelOptions("csv", split="val"),
            progress=False,
        )
    with pytest.raises(ImageError, match=r"\.png"):
        label_dataset(
            tmp_path / "data" / "data.toml",
            tiny_run,
            tmp_path / "out.csv",
            LabelOptions("csv", split="val", strict=True),
            progress=False,
        )
    assert not (tmp_path / "out.csv").exists()


def test_an_image_without_a_file_is_named(tiny_run: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_dataset.parent, tmp_path / "data")
    (tmp_path / "data" / "photos" / "15.png").unlink()
    data, options = tmp_path / "data" / "data.toml", LabelOptions("csv", split="val")
    labelled = label_dataset(data, tiny_run, tmp_path / "out.csv", options, progress=False)
    assert labelled.skipped == {"15.png": "No file of that name is stored."}
    assert len(labelled.selection.images) == 7
