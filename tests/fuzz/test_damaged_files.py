"""Damaged files of runs, stores, indexes, exports and labels end in a typed error, or in a valid result."""

from __future__ import annotations

import argparse
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from unboxed import scenes
from unboxed.convert.checkpoint import read_checkpoint
from unboxed.convert.vocabulary import read_words
from unboxed.data.dataset import load_dataset
from unboxed.data.images import open_image
from unboxed.evaluation.grounding import METRICS
from unboxed.evaluation.predictions import read_predictions
from unboxed.experiments.learning import LearningCurve
from unboxed.experiments.outcomes import Outcome
from unboxed.export.corrections_file import read_corrections
from unboxed.export.exported_model import FORMAT, VERSION, Exported
from unboxed.export.groundings_file import GroundingsFile
from unboxed.export.labels_file import read_labels
from unboxed.inference.grounder import Grounder
from unboxed.inference.weights import load_weights, read_tensors
from unboxed.negatives.base import Negatives
from unboxed.priors.cooccurrence import Cooccurrence
from unboxed.priors.matching import load_class_map
from unboxed.priors.semantic import SemanticPrior
from unboxed.priors.settings import PriorSettings
from unboxed.recipes.schedule import Schedule
from unboxed.regions.networks import Network
from unboxed.regions.parts import read_part
from unboxed.regions.store import RegionStore
from unboxed.runtime.digests import record_digest
from unboxed.runtime.part_lines import merge_lines as merge_line_parts
from unboxed.runtime.parts import Part, PartRecord
from unboxed.search import index_images
from unboxed.search.image_embeddings import Shard
from unboxed.search.index_folder import IndexFolder
from unboxed.search.index_table import ImageTable
from unboxed.text.tokens import Vocabulary
from unboxed.text.word_vectors import WordVectors
from unboxed.text.wordnet import WordNet
from unboxed.training.checkpoint import load_checkpoint, save_checkpoint


def _read_store(file: Path) -> None:
    store = RegionStore.open(file.parent if file.name == "store.json" else file.parents[1])
    for image_id in store:
        store[image_id]
        break


def _read_outcome(file: Path) -> None:
    outcome = Outcome.load(file.with_suffix(""))
    assert outcome.metrics


def _read_groundings(file: Path) -> None:
    known = GroundingsFile(file, "run", 5)
    for key in known._known:
        known.get(key)


def _resume(file: Path) -> None:
    model = torch.nn.Linear(2, 1)
    load_checkpoint(file, model, torch.optim.AdamW(model.parameters()))


def _read_index(file: Path) -> None:
    index = IndexFolder.of(file.parents[1] if file.name == "probes.json" else file.parent)
    assert index is not None
    index.anchor_captions()


def _search_table(file: Path) -> None:
    table = ImageTable.load(file)
    table.names.all(), table.captions.all()


def _read_index_shard(file: Path) -> None:
    shard = Shard(file)
    entry = shard.entries[0]
    shard.image(entry.number, entry.start, entry.count, entry.width, entry.height)


def _merge_lines(file: Path) -> None:
    merged = file.with_name("merged.jsonl")
    try:
        merge_line_parts([file], merged)
    finally:
        merged.unlink(missing_ok=True)


def _ask_prior(file: Path) -> None:
    SemanticPrior.load(file.parent).affinity("a man")


def _load_weights(file: Path) -> None:
    load_weights(file, Grounder.load(file.parent).model)


_READERS: dict[str, Callable[[Path], object]] = {
    "config.json": lambda file: Grounder.load(file.parent),
    "vocab.json": Vocabulary.load,
    "model.safetensors": read_tensors,
    "weights/model.safetensors": _load_weights,
    "checkpoint.safetensors": _resume,
    "negatives.safetensors": Negatives.load,
    "prior/prior.json": _ask_prior,
    "prior/word_vectors.npz": _ask_prior,
    "prior/word_vectors.vocab.txt": _ask_prior,
    "prior/class_map.json": _ask_prior,
    "cooccurrence.npz": Cooccurrence.load,
    "glove.txt": WordVectors.open,
    "wordnet.tsv": WordNet.open,
    "class_map.json": load_class_map,
    "store/store.json": _read_store,
    "store/shards/000000.safetensors": _read_store,
    "index/index.json": _read_index,
    "index/0123456789ab/probes.json": _read_index,
    "table.safetensors": _search_table,
    "index_shard.safetensors": _read_index_shard,
    "export/export.json": lambda file: Exported.open(file.parent),
    "export/digests.json": lambda file: Exported.open(file.parent),
    "export/text.onnx": lambda file: Exported.open(file.parent),
    "detector.onnx": Network,
    "groundings.jsonl": _read_groundings,
    "log.jsonl": lambda file: LearningCurve.of_run(file.parent, Schedule()),
    "labels.jsonl": read_labels,
    "corrections.jsonl": read_corrections,
    "part/part.json": lambda file: read_part(file.parent),
    "part.jsonl": _merge_lines,
    "predictions.jsonl": read_predictions,
    "results.json": read_predictions,
    "cell.json": _read_outcome,
    "cell.npz": _read_outcome,
    "released.pth": read_checkpoint,
    "words.json": read_words,
    "words.pkl": read_words,
    "data.toml": lambda file: load_dataset(file).split("train"),
    "photos/0.png": open_image,
    "photos/0.jpg": open_image,
}


def _write_run(folder: Path, tiny_run: Path) -> None:
    """A run with weights elsewhere, a checkpoint, negatives and a prior."""
    shutil.copytree(tiny_run, folder, dirs_exist_ok=True)
    shutil.copytree(tiny_run, folder / "weights")
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    save_checkpoint(folder / "checkpoint.safetensors", model, optimizer, {"epoch": 1, "step": 2})
    Negatives(("dog", "cat"), [0, 1, 2], [1, 0], [[0, 1], [1, -1]], "f").save(folder / "negatives.safetensors")  # type: ignore[arg-type]
    (folder / "class_map.json").write_text('{"guy": "man"}')
    (folder / "glove.txt").write_text("man 0.1 0.2\ndog 0.3 0.4\n")
    (folder / "wordnet.tsv").write_text(
        "S\tman.n.01\t18\tman\tperson.n.01\nS\tperson.n.01\t3\tperson\nL\tman\tman.n.01\n"
    )
    files = {name: folder / file for name, file in (("wordnet", "wordnet.tsv"), ("class_map", "class_map.json"))}
    captions = ["a man with a dog", "a dog beside a man", "a man and a dog"]
    images = [(["a man", "a dog"], np.eye(2, dtype=np.float32))] * 9
    prior = SemanticPrior.build(PriorSettings(**files), ("man", "dog"), captions=captions, images=images)  # type: ignore[arg-type]
    prior.save(folder / "prior")
    shutil.copy(folder / "prior" / "cooccurrence.npz", folder / "cooccurrence.npz")


def _write_index(folder: Path, tiny_run: Path, tiny_dataset: Path) -> None:
    index_images(tiny_run, tiny_dataset, folder / "made", progress=False)
    (part,) = (folder / "made").glob("*/table.safetensors")
    shutil.copy(part, folder / "table.safetensors")
    shutil.copy(next(part.parent.glob("shards/*.safetensors")), folder / "index_shard.safetensors")
    (folder / "index" / "0123456789ab").mkdir(parents=True)
    content = {"format": "unboxed-index", "version": 1, "made_by": "0123456789ab", "run": "run"}
    (folder / "index" / "index.json").write_text(json.dumps(content))
    shutil.copy(part.with_name("probes.json"), folder / "index" / "0123456789ab" / "probes.json")


def _write_export(folder: Path) -> None:
    """An export with a graph that is never opened: its digest is what is checked."""
    export = folder / "export"
    export.mkdir()
    regions = json.loads((folder / "config.json").read_bytes())["regions"]
    content = {"format": FORMAT, "version": VERSION, "queries": "words", "prior": True, "regions": regions}
    content["graphs"] = {"text": {"inputs": ["tokens_CW"], "outputs": ["query_CQD"]}}
    (export / "export.json").write_text(json.dumps(content))
    shutil.copy(folder / "vocab.json", export / "vocab.json")
    shutil.copytree(folder / "prior", export / "prior")
    (export / "text.onnx").write_bytes(b"graph")
    record_digest(export, export / "text.onnx")


def _write_outcomes(folder: Path) -> None:
    phrase = {"text": "a box", "start": 0, "end": 5, "boxes": [[1, 2, 3, 4]], "scores": [0.5], "confidence": 0.5}
    grounding = {"caption": "a box", "width": 9, "height": 9, "phrases": [{**phrase, "types": [], "set_ranks": [0]}]}
    lines = [
        {"format": "unboxed-groundings", "version": 2, "run": "run", "top": 5},
        {"key": "k", "groundings": [grounding]},
    ]
    (folder / "groundings.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    predictions = [{"image": "7", "caption": "a box", "phrase": "a box", "boxes": [[1, 2, 3, 4]]}]
    (folder / "predictions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in predictions))
    results = [{"image_id": 7, "bbox": [1, 2, 3, 4], "score": 0.5, "phrase": "a box"}]
    (folder / "results.json").write_text(json.dumps(results))
    curve = {"select_on": "loss", "planned": 2, "val_loss": [1.0, 0.5], "val_rsum": [1.0, 2.0]}
    kinds = [1, 0, 0, 0, 0, 0]
    failures = {"counts": {"people": kinds}, "total": kinds}
    (folder / "cell.json").write_text(json.dumps({"seconds": 1.5, "failures": failures, "curve": curve}))
    two = np.arange(2)
    arrays = {"rank_B": two, "rank_C": two, "image_of_C": two, "image_ids": np.array(["7", "8"])}
    arrays |= {"grounded_ids": np.array(["7"]), "image_of_M": np.zeros(1, int), "types_of_M": np.array(["people"])}
    arrays |= {"outcomes_MX": np.ones((1, len(METRICS)), bool)}
    arrays |= {"more/presence/ids": np.array(["7"]), "more/presence/hits": np.ones((1, 1))}
    np.savez_compressed(folder / "cell.npz", **arrays, **{"more/presence/counts": np.ones((1, 1))})  # type: ignore[arg-type]


def _write_labels(folder: Path) -> None:
    """Labels with corrections, and parts of a store and of groundings."""
    mention = {"phrase": "a dog", "start": 0, "end": 5, "caption": "a dog"}
    box = {"name": "dog", "box": [1, 2, 9, 9], "score": 0.5, "confidence": 0.5, "mentions": [mention, mention]}
    row = {"image": "7.png", "width": 20, "height": 10, "captions": ["a dog"], "boxes": [box]}
    head = {"format": "unboxed-labels", "version": 1, "names": ["dog"]}
    changes = [{"action": "move", "box": 0, "edges": [1, 1, 8, 8]}, {"action": "rename", "box": 0, "text": "cat"}]
    changes += [{"action": "add", "edges": [1, 2, 8, 9], "text": "cat"}, {"action": "undo"}]
    corrections = [{"format": "unboxed-corrections", "version": 1}, row, *({"image": "7.png", **c} for c in changes)]
    record = PartRecord.of(Part(1, 1), ["7", "8"])._replace(finished=True).to_dict()
    (folder / "part").mkdir()
    (folder / "part" / "part.json").write_text(json.dumps(record))
    for name, lines in (
        ("labels", [head, {**row, "file": "/photos/7.png"}]),
        ("corrections", corrections),
        ("part", [{"format": "groundings"}, {"key": "7"}, {"key": "8"}, record]),
        ("log", [{"step": n, "epoch": n, "val_loss": 1.5, "val_rsum": 300.0} for n in range(3)]),
    ):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture(scope="module")
def files(tiny_run: Path, tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a valid file for each reader."""
    folder = tmp_path_factory.mktemp("fuzz")
    shutil.copytree(tiny_dataset.parent, folder, dirs_exist_ok=True)
    _write_run(folder, tiny_run)
    _write_index(folder, tiny_run, tiny_dataset)
    _write_export(folder)
    _write_outcomes(folder)
    _write_labels(folder)
    shutil.copy(Path(scenes.__file__).with_name("detector.onnx"), folder / "detector.onnx")
    torch.save({"model": [{"weight": torch.ones(2)}], "opt": argparse.Namespace(lr=0.1)}, folder / "released.pth")
    words = {"word2idx": {"<pad>": 0, "<start>": 1, "<end>": 2, "<unk>": 3, "dog": 4}, "idx": 5}
    (folder / "words.json").write_text(json.dumps(words))
    (folder / "words.pkl").write_bytes(pickle.dumps(words, 2))
    open_image(folder / "photos" / "0.png").save(folder / "photos" / "0.jpg")
    return folder


@pytest.mark.parametrize("name", _READERS)
def test_a_damaged_file_is_a_typed_error_or_valid(
    name: str, files: Path, refuses_damage: Callable[[Path, Callable[[Path], object]], None]
) -> None:
    refuses_damage(files / name, _READERS[name])
