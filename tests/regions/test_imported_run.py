"""From published features to a scored run without a single image, by the command line."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unboxed.cli import main
from unboxed.data import load_dataset
from unboxed.recipes.infoground import InfoGround
from unboxed.recipes.schedule import Schedule
from unboxed.regions.importing import import_regions, open_features
from unboxed.training.fitting import FitSettings, fit

COLOURS = ("red", "blue", "green")
CHOICES = InfoGround(negatives="none", joint_width=16, schedule=Schedule(epochs=1, images_per_batch=4))


def _fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert ended.value.code == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


@pytest.fixture
def entities(tmp_path: Path) -> Path:
    """Twelve annotated images of 100 x 50 pixels without images, and a TSV file of their regions."""
    rng = np.random.default_rng(0)
    lines = []
    for name in ("Sentences", "Annotations"):
        (tmp_path / "annotations" / name).mkdir(parents=True)
    for number in range(12):
        colour = COLOURS[number % 3]
        (tmp_path / f"annotations/Sentences/{number}.txt").write_text(f"[/EN#1/other A {colour} box] stands here .\n")
        (tmp_path / f"annotations/Annotations/{number}.xml").write_text(
            "<annotation><size><width>100</width><height>50</height></size><object><name>1</name><bndbox><xmin>1</xmin>"
            "<ymin>1</ymin><xmax>50</xmax><ymax>50</ymax></bndbox></object></annotation>"
        )
        boxes = np.array([[0, 0, 50, 50], [50, 0, 100, 50]], "<f4")
        features = np.concatenate([np.eye(3)[[number % 3, (number + 1) % 3]], rng.normal(size=(2, 2))], axis=1)
        encoded = [b64encode(values.astype("<f4").tobytes()).decode() for values in (boxes, features)]
        lines.append("\t".join([str(number), "100", "50", "2", *encoded]))
    (tmp_path / "features.tsv").write_text("\n".join(lines))
    (tmp_path / "train.txt").write_text("\n".join(map(str, range(8))))
    (tmp_path / "val.txt").write_text("\n".join(map(str, range(8, 12))))
    (tmp_path / "data.toml").write_text(
        'format = "flickr30k-entities"\nimages = false\nannotations = "annotations"\n'
        '[splits]\ntrain = "train.txt"\nval = "val.txt"\n'
    )
    return tmp_path


def test_trained_and_scored_without_images(entities: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, store, run = entities / "data.toml", entities / "store", entities / "run"
    main(["import", str(data), "--features", str(entities / "features.tsv"), "--format", "tsv", "--out", str(store)])
    assert "12 images imported" in capsys.readouterr().err
    fit("infoground", CHOICES, FitSettings(data, run, regions=store))
    main(["evaluate", str(run), "--data", str(data), "--split", "val", "--json"])
    assert '"phrases": 4' in capsys.readouterr().out
    assert (run / "report-val.html").is_file()

    photos, index = entities / "photos", entities / "index"
    photos.mkdir()
    Image.new("RGB", (100, 50)).save(photos / "new.png")
    assert "nothing here computes such features" in _fails(capsys, "ground", run, photos / "new.png", "a red box")
    assert "nothing here computes such features" in _fails(capsys, "index", run, photos, "--out", index)
    missing = entities / "no-store"
    assert str(missing) in _fails(capsys, "index", run, photos, "--out", index, "--regions", missing)
    assert not index.exists()
    (entities / "val.txt").write_text("7\n8\n")
    (run / "config.json").write_text((run / "config.json").read_text().replace(str(store), str(missing)))
    assert "unboxed import" in _fails(capsys, "evaluate", run, "--data", data, "--split", "val")
    for verb in (("fit", "infoground", "--data"), ("regions",)):
        assert "no images" in _fails(capsys, *verb, data, "--out", entities / "other")


def test_a_scan_directory_is_trained_on_and_its_grounding_is_not_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    for split, images in (("train", 8), ("dev", 4)):
        np.save(tmp_path / f"{split}_ims.npy", rng.normal(size=(images, 3, 5)).astype(np.float32))
        lines = [f"A {COLOURS[k % 3]} box stands here .\n" for k in range(images) for _ in range(5)]
        (tmp_path / f"{split}_caps.txt").write_text("".join(lines))
    (tmp_path / "data.toml").write_text('format = "scan"\nannotations = "."\n')
    data, store, run = tmp_path / "data.toml", tmp_path / "store", tmp_path / "run"
    import_regions(load_dataset(data), open_features(tmp_path, "scan"), store, progress=False)
    fit("infoground", CHOICES, FitSettings(data, run, regions=store))
    main(["evaluate", str(run), "--data", str(data), "--split", "val"])
    printed = capsys.readouterr()
    assert "Retrieval: captions R@1" in printed.out + printed.err
    assert "scored without boxes" in printed.out + printed.err
