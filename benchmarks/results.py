"""Measures what docs/results.md says, and writes it.

    python benchmarks/results.py scenes --work FOLDER [--seeds 3]
    python benchmarks/results.py photos --work FOLDER --data DATA.toml --detector F --segmenter F --backbone F
    python benchmarks/results.py write --work FOLDER

`scenes` draws the world and fits InfoGround with language-model and random negatives, once a seed; `photos` finds
regions, fits and evaluates on real photographs. Both go on where they stopped and leave their figures in FOLDER as
JSON; `write` turns the figures into docs/results.md. Nothing in that file is written by hand.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from unboxed.alignment.ranking import Ranking
from unboxed.data.dataset import load_dataset
from unboxed.data.scenes import write_scenes
from unboxed.demo import demo_choices
from unboxed.evaluation.baselines import baselines_markdown, untrained_baselines
from unboxed.evaluation.evaluate import ground_split, score_examples
from unboxed.evaluation.grounding import GroundingScores, mean_of_runs, paired_bootstrap
from unboxed.model import Grounder
from unboxed.progress import TrainingProgress, say
from unboxed.recipes.infoground import InfoGround
from unboxed.regions.extraction import extract
from unboxed.regions.settings import RegionSettings
from unboxed.regions.store import RegionStore
from unboxed.training.checkpoint import write_json
from unboxed.training.fit import FitSettings, fit
from unboxed.types import Example

NEGATIVES = ("lm", "random")
SHOWN = ("recall_any@1", "recall_any@5", "recall_any@10", "recall_union@1", "pointing_any", "pointing_union")
PAGE = Path(__file__).resolve().parents[1] / "docs" / "results.md"


def scenes(work: Path, seeds: int) -> None:
    """The drawn world: every kind of negatives, every seed."""
    world, store = work / "scenes", work / "scenes-store"
    figures: dict[str, Any] = _read(work / "scenes.json")
    if not (world / "data.toml").is_file():
        figures["draw_seconds"] = _seconds(lambda: write_scenes(world))
    dataset = load_dataset(world / "data.toml")
    splits = {name: dataset.split(name) for name in dataset.split_names}
    settings, _ = RegionSettings.default_for(dataset)
    summary = extract([example for split in splits.values() for example in split.examples], settings, store)
    if summary.done:
        figures["region_seconds"] = summary.seconds
    test = splits["test"].examples
    regions = RegionStore.open(store)
    runs: dict[str, list[GroundingScores]] = {}
    for negatives in NEGATIVES:
        for seed in range(seeds):
            run = work / f"scenes-{negatives}-{seed}"
            choices = replace(demo_choices(seed), negatives=negatives)
            scores, seconds = _fit_and_score(world / "data.toml", store, run, choices, test)
            runs.setdefault(negatives, []).append(scores)
            figures.setdefault("fit_seconds", {}).setdefault(f"{negatives}-{seed}", seconds)
    figures["baselines"] = baselines_markdown(untrained_baselines(test, lambda example: regions[example.image_id]))
    pooled = {negatives: mean_of_runs(scores) for negatives, scores in runs.items()}
    figures["seeds"] = seeds
    figures["runs"] = {name: _figures(scores) for name, scores in pooled.items()}
    figures["per_seed"] = {name: [_figures(one)["estimates"] for one in scores] for name, scores in runs.items()}
    figures["by_type"] = _by_type(pooled["lm"])
    compared = paired_bootstrap(pooled["lm"], pooled["random"])
    figures["difference"] = {metric: [d.difference, d.low, d.high] for metric, d in compared.items() if metric in SHOWN}
    write_json(work / "scenes.json", figures)


def photos(work: Path, data: Path, detector: Path, segmenter: Path, backbone: Path) -> None:
    """Real photographs: regions, a fit, the scores on val."""
    store = work / "photos-store"
    figures: dict[str, Any] = _read(work / "photos.json")
    dataset = load_dataset(data)
    splits = {name: dataset.split(name) for name in ("train", "val")}
    settings = RegionSettings(detectors=(detector,), segmenter=segmenter, backbone=backbone)
    summary = extract([example for split in splits.values() for example in split.examples], settings, store)
    if summary.done:
        figures["region_seconds"] = summary.seconds
    figures["photos"] = {name: len(split.examples) for name, split in splits.items()}
    val = splits["val"].examples
    scores, seconds = _fit_and_score(data, store, work / "photos-lm-0", InfoGround(), val)
    regions = RegionStore.open(store)
    figures["fit_seconds"] = figures.get("fit_seconds") or seconds
    figures["peak_memory_gb"] = max(
        figures.get("peak_memory_gb", 0), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    )
    figures["baselines"] = baselines_markdown(untrained_baselines(val, lambda example: regions[example.image_id]))
    figures["scores"], figures["by_type"] = _figures(scores), _by_type(scores)
    figures["rankings"] = {
        "InfoGround": _figures(scores),
        "ranked as in the paper": _figures(_by_paper(work, val, regions)),
    }
    figures["ground"] = _ground_times(work / "photos-lm-0", [example.path for example in val[:40]])
    write_json(work / "photos.json", figures)


def write(work: Path) -> None:
    """docs/results.md from the figures."""
    world, real = _read(work / "scenes.json"), _read(work / "photos.json")
    lines = [
        "# Results",
        "",
        "Written by `python benchmarks/results.py write --work FOLDER`, from what `scenes` and `photos` of the same "
        "script measured on 2 CPU cores. Every number is in per cent of phrases with a gold box; the protocols are in "
        "[metrics.md](metrics.md). Brackets hold the 95 % interval of a bootstrap over photographs. Epochs are chosen "
        "by validation loss; no box of a phrase reaches training or that choice.",
    ]
    if world:
        lines += _world_page(world)
    if real:
        lines += _photo_page(real)
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    say(f"Wrote {PAGE}")


def _world_page(world: dict[str, Any]) -> list[str]:
    names, seconds = {"lm": "language model", "random": "random nouns"}, list(world["fit_seconds"].values())
    each_seed = [
        f"{names[name]} " + ", ".join(f"{one['recall_any@1']:.1f} / {one['pointing_any']:.1f}" for one in runs)
        for name, runs in world["per_seed"].items()
    ]
    difference = [f"{m} {d:+.1f} ({low:+.1f} to {high:+.1f})" for m, (d, low, high) in world["difference"].items()]
    return [
        "",
        "## The drawn world",
        "",
        "`python benchmarks/results.py scenes --work FOLDER`",
        "",
        f"InfoGround with the choices of the demo, 2,000 training pictures, test split "
        f"({world['runs']['lm']['phrases']:,} phrases of {world['runs']['lm']['photos']} pictures), mean of "
        f"{world['seeds']} seeds from 0 on.",
        "",
        "| negatives | " + " | ".join(SHOWN) + " |",
        "| --- |" + " ---: |" * len(SHOWN),
        *(f"| {names[name]} | {_row(run)} |" for name, run in world["runs"].items()),
        "",
        f"Language model minus random, paired over pictures, in points: {', '.join(difference)}.",
        "",
        f"Each seed's recall_any@1 / pointing_any: {'; '.join(each_seed)}.",
        "",
        f"Drawing 2,600 pictures took {world.get('draw_seconds', float('nan')):.0f} s, finding their regions "
        f"{world.get('region_seconds', float('nan')):.0f} s, a fit {min(seconds):.0f} to {max(seconds):.0f} s. "
        f"{world.get('note', '')}".rstrip(),
        "",
        "By type, with the language model:",
        "",
        *world["by_type"],
        "",
        "What learns nothing:",
        "",
        world["baselines"],
    ]


def _photo_page(real: dict[str, Any]) -> list[str]:
    ground = real["ground"]
    return [
        "",
        "## Photographs: the part of Flickr30K Entities that is also in Flickr8k",
        "",
        "`python benchmarks/results.py photos --work FOLDER --data flickr.toml --detector NANODET.onnx "
        "--segmenter DEEPLAB.onnx --backbone MOBILENET.onnx`",
        "",
        f"InfoGround alone, with its defaults, seed 0: {real['photos']['train']:,} training photographs of 224 x 224 "
        f"pixels, scored on {real['photos']['val']} of the val split ({real['scores']['phrases']:,} phrases). Regions: "
        "NanoDet-Plus-m (COCO), DeepLabv3+ (31 classes of ADE20K), the whole photograph, parts of persons. The weights "
        "of the ranking were chosen on these boxes. Figures of a subset of small pictures: not to be compared with "
        "published ones of the whole dataset.",
        "",
        "| | " + " | ".join(SHOWN) + " |",
        "| --- |" + " ---: |" * len(SHOWN),
        *(f"| {name} | {_row(figures)} |" for name, figures in real["rankings"].items()),
        "",
        f"Finding regions took {real.get('region_seconds', float('nan')) / 60:.1f} min, the fit "
        f"{real['fit_seconds'] / 60:.1f} min (its language model included), with at most {real['peak_memory_gb']:.1f} "
        f"GB of memory. `unboxed ground` takes {ground['process_seconds']:.1f} s as a whole process, and "
        f"{1000 * ground['further_seconds']:.0f} ms for each further photograph in one process. "
        f"{real.get('note', '')}".rstrip(),
        "",
        "By type:",
        "",
        *real["by_type"],
        "",
        "What learns nothing:",
        "",
        real["baselines"],
    ]


def _fit_and_score(
    data: Path, store: Path, run: Path, choices: InfoGround, examples: Sequence[Example]
) -> tuple[GroundingScores, float]:
    settings = FitSettings(data, run, store, resume=True)
    say(f"{run.name}")
    seconds = _seconds(lambda: fit("infoground", choices, settings, say=say, report=TrainingProgress()))
    facts = json.loads((run / "config.json").read_text())["facts"]
    facts.setdefault("wall_seconds", seconds)
    scores = score_examples(ground_split(Grounder.load(run), examples, RegionStore.open(store)))
    return scores, max(seconds, facts["best"]["seconds"])


def _by_paper(work: Path, examples: Sequence[Example], regions: RegionStore) -> GroundingScores:
    """The same run, its regions ranked by attention alone."""
    grounder = Grounder.load(work / "photos-lm-0")
    choices = replace(grounder.config.choices, ranking=Ranking.paper())
    grounder.config = replace(grounder.config, choices=choices)
    return score_examples(ground_split(grounder, examples, regions))


def _ground_times(run: Path, paths: list[Path]) -> dict[str, float]:
    """Seconds of `unboxed ground` as a process, and of one more photograph in a process."""
    import subprocess

    command = [sys.executable, "-m", "unboxed", "ground", str(run), str(paths[0]), "A man in a red shirt.", "--json"]
    process = min(_seconds(lambda: subprocess.run(command, check=True, capture_output=True)) for _ in range(3))
    grounder = Grounder.load(run)
    grounder.ground(paths[0], "A man in a red shirt.")
    further = [_seconds(lambda path=path: grounder.ground(path, "A man in a red shirt.")) for path in paths[1:]]
    return {"process_seconds": process, "further_seconds": float(np.median(further))}


def _figures(scores: GroundingScores) -> dict[str, Any]:
    metrics = (*SHOWN, "upper_bound_any", "upper_bound_union")
    return {
        "estimates": {metric: scores[metric] for metric in metrics},
        "intervals": {metric: list(scores.intervals[metric]) for metric in metrics},
        "phrases": scores.phrases,
        "photos": scores.photos,
    }


def _by_type(scores: GroundingScores) -> list[str]:
    lines = [
        "| type | phrases | recall_any@1 | pointing_any | upper_bound_any |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, own in scores.by_type.items():
        cells = " | ".join(f"{own[metric]:.1f}" for metric in ("recall_any@1", "pointing_any", "upper_bound_any"))
        lines.append(f"| {name} | {scores.phrases_by_type[name]:,} | {cells} |")
    return lines


def _row(figures: dict[str, Any]) -> str:
    estimates, intervals = figures["estimates"], figures["intervals"]
    return " | ".join(f"{estimates[m]:.1f} ({intervals[m][0]:.1f}–{intervals[m][1]:.1f})" for m in SHOWN)


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("scenes", "photos", "write"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--note", default="", help="what else went on while it was measured; printed with the times")
    for name in ("data", "detector", "segmenter", "backbone"):
        parser.add_argument(f"--{name}", type=Path)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    if given.note and given.what != "write":
        figures = given.work / f"{given.what}.json"
        write_json(figures, {**_read(figures), "note": given.note})
    if given.what == "scenes":
        scenes(given.work, given.seeds)
    elif given.what == "photos":
        photos(given.work, given.data, given.detector, given.segmenter, given.backbone)
    else:
        write(given.work)


if __name__ == "__main__":
    main()
