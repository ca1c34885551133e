"""Flips single bits of every file of a run, store, index, export and labels; no answer may change silently.

    python tests/flips/flip_bits.py --flips 2000 --seed 0

makes a small drawn world, a run with its store and prior, negatives, a checkpoint, an index, an export (where onnx is
installed) and groundings, and records what each of them answers. A flipped bit has to be refused with a typed error, or
to be reported in a line, or to change nothing. One line is printed for each silent change, and one with the counts.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from unboxed.errors import ExportError, UnboxedError
from unboxed.export.exported_model import Exported
from unboxed.export.groundings_file import GroundingsFile
from unboxed.inference.grounder import Grounder
from unboxed.negatives.base import Negatives
from unboxed.regions.store import RegionStore
from unboxed.runtime.digests import with_digest
from unboxed.search import Index
from unboxed.training.checkpoint import load_checkpoint, save_checkpoint
from unboxed.types import Caption, Phrase

_LINE = "changed after it was written"
_READ = (".safetensors", ".json", ".jsonl", ".npz", ".onnx", ".txt", ".gz")
_IMAGE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8))
_CAPTION = Caption("a man with a dog", (Phrase("a man", 0, 5), Phrase("a dog", 11, 16)))


def _digest(*parts: object) -> str:
    digest = hashlib.sha256()
    for part in parts:
        array = part.detach().numpy() if isinstance(part, torch.Tensor) else part
        digest.update(array.tobytes() if isinstance(array, np.ndarray) else repr(array).encode())
    return digest.hexdigest()


def _run(run: Path) -> str:
    grounder = Grounder.load(run)
    parts: list[object] = [*grounder.model.state_dict().values()]
    for phrase in grounder.ground(_IMAGE, _CAPTION).phrases:
        parts += [phrase.boxes, phrase.scores, phrase.confidence]
    return _digest(*parts, grounder.unknown_words("a man with a zebra"))


def _store(folder: Path) -> str:
    store = RegionStore.open(folder)
    arrays = [array for image_id in store for array in (image_id, *store.arrays(image_id))]
    return _digest(store.class_names, store.source_names, store.feature_blocks, *arrays)


def _negatives(file: Path) -> str:
    found = Negatives.load(file)
    return _digest(found.words, found.offsets, found.positions, found.candidates)


def _checkpoint(file: Path) -> str:
    model = torch.nn.Linear(30, 20)
    optimizer = torch.optim.AdamW(model.parameters())
    progress = load_checkpoint(file, model, optimizer)
    moments = [value for state in optimizer.state.values() for value in state.values()]
    return _digest(progress, *model.state_dict().values(), *moments)


def _index(folder: Path) -> str:
    hits = Index.open(folder).search("a man with a dog", k=3)
    return _digest(*((hit.name, round(hit.score, 6), *(p.boxes for p in hit.grounding.phrases)) for hit in hits))


def _export(folder: Path) -> str:
    import onnxruntime

    exported = Exported.open(folder)
    regions = exported.extractor(_IMAGE)
    inputs = exported.inputs(regions, _CAPTION)
    graphs = [(folder / f"{name}.onnx").read_bytes() for name in exported.graphs]
    for content in graphs:
        onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return _digest(exported.graphs, exported.by_words, *graphs, *(inputs[name] for name in sorted(inputs)))


def _groundings(file: Path) -> str:
    """The groundings that are taken from the file; others are made again."""
    known = GroundingsFile(file, "run", 5)._known
    if len(known) < 2:
        raise ExportError("the groundings are made again")
    return _digest(sorted(known.items()))


def _make(folder: Path) -> dict[Path, Callable[[Path], str]]:
    """Everything that is damaged, and what it answers."""

    def unboxed(*arguments: str) -> None:
        subprocess.run([sys.executable, "-m", "unboxed", *arguments], check=True, capture_output=True)

    data, run = folder / "world" / "data.toml", folder / "run"
    unboxed("scenes", str(folder / "world"), "--train", "16", "--val", "4", "--test", "4")
    unboxed(
        "fit", "ckd", "--data", str(data), "--out", str(run), "--epochs", "1", "--images-per-batch", "6",
        "--prior", "semantic", "--negatives", "random", "--joint-width", "32",
    )  # fmt: skip
    unboxed("index", str(run), str(data), "--out", str(folder / "index"), "--recall", "0")
    model = torch.nn.Linear(30, 20)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 30)).sum().backward()
    optimizer.step()
    save_checkpoint(folder / "checkpoint.safetensors", model, optimizer, {"epoch": 1, "step": 2})
    grounding = {"caption": "a dog", "width": 9, "height": 9, "phrases": []}
    lines = [with_digest({"key": key, "groundings": [grounding]}) for key in ("a", "b")]
    lines.insert(0, GroundingsFile(folder / "none", "run", 5)._head)
    (folder / "labels.groundings.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found: dict[Path, Callable[[Path], str]] = {
        run: _run,
        run / "store": _store,
        folder / "checkpoint.safetensors": _checkpoint,
        folder / "labels.groundings.jsonl": _groundings,
        folder / "index": _index,
    }
    found |= dict.fromkeys(run.glob("negatives*.safetensors"), _negatives)
    if find_spec("onnx") and find_spec("onnxscript"):
        unboxed("export", str(run), "--out", str(folder / "export"))
        found[folder / "export"] = _export
    return found


def _outcome(answer: Callable[[Path], str], path: Path, expected: str) -> str:
    with contextlib.redirect_stderr(io.StringIO()) as printed:
        try:
            same = answer(path) == expected
        except (UnboxedError, OSError):
            return "refused"
        except Exception as error:
            return f"untyped error {error!r}"
    return "equal" if same else "reported" if _LINE in printed.getvalue() else "silent"


def flip(flips: int, seed: int) -> Counter[str]:
    """Flips bits of all files in turn, each at a random place; returns how often each outcome occurred."""
    rng, outcomes = random.Random(seed), Counter[str]()
    with tempfile.TemporaryDirectory() as name:
        made = _make(Path(name))
        expected = {path: answer(path) for path, answer in made.items()}
        targets = []
        for path, answer in made.items():
            files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
            nested = [other for other in made if other != path and other.is_relative_to(path)]
            targets += [
                (path, answer, file)
                for file in files
                if file.suffix in _READ and not any(file.is_relative_to(other) for other in nested)
            ]
        for number in range(flips):
            path, answer, file = targets[number % len(targets)]
            content = file.read_bytes()
            if not content:
                continue
            place, bit = rng.randrange(len(content)), rng.randrange(8)
            file.write_bytes(content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :])
            outcome = _outcome(answer, path, expected[path])
            file.write_bytes(content)
            outcomes[outcome.split(" ")[0]] += 1
            if outcome not in ("refused", "equal", "reported"):
                print(f"flip {number}: bit {bit} of byte {place} of {file.relative_to(name)}: {outcome}", flush=True)
    return outcomes


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flips", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    counted = flip(options.flips, options.seed)
    print(f"{counted.total()} flips: {', '.join(f'{count} {name}' for name, count in counted.most_common())}")
    raise SystemExit(bool(set(counted) - {"refused", "equal", "reported"}))
