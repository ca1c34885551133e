"""Every command of docs/reproducing.md runs, on tiny files in the layouts in which data and features were released."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from pathlib import Path

import pytest
import torch

from unboxed.cli import main
from unboxed.convert import read_words
from unboxed.recipes import RECIPES
from unboxed.recipes.presets import flat_options

from ..convert.originals import SGRAF_OPTIONS, linear_state, save, text_state
from ..text.test_pretrained import tiny_bert
from . import released

PAGE = Path(__file__).parents[2] / "docs" / "reproducing.md"
TEXT = PAGE.read_text(encoding="utf-8")
FILES = dict(re.findall(r"```toml\n# (\S+\.toml)\n(.*?)```", TEXT, re.DOTALL))
SECTIONS = re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]
COMMANDS = [
    line.removeprefix("$ unboxed ")
    for block in re.findall(r"```console\n(.*?)```", TEXT, re.DOTALL)
    for line in block.splitlines()
]

TRAIN, VAL, TEST, TESTALL = range(8), range(8, 11), range(11, 14), range(11, 21)
SPLITS = {"train": TRAIN, "val": VAL, "test": TEST}

SMALLER = {"epochs": 1, "batches_per_epoch": 1, "joint_width": 16, "hidden_width": 16, "similarity_width": 8}
"""What is made smaller, so that a minute is enough; all else is that of the preset."""
AS_WIDE_AS_WORD_VECTORS = {"sprm": ("joint_width", "hidden_width")}


def shrunk(command: str) -> list[str]:
    """The command, of a fit with a few widths and epochs besides."""
    verb, *arguments = shlex.split(command)
    if verb != "fit":
        return [verb, *arguments]
    recipe = arguments[0]
    smaller = {name: value for name, value in SMALLER.items() if name in flat_options(RECIPES[recipe]())}
    for name in AS_WIDE_AS_WORD_VECTORS.get(recipe, ()):
        del smaller[name]
    return [
        verb,
        *arguments,
        *(part for name, value in smaller.items() for part in (f"--{name.replace('_', '-')}", str(value))),
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Tiny files in the released layouts."""
    pytest.importorskip("h5py")
    pytest.importorskip("onnx")
    scan = {"train": TRAIN, "dev": VAL, "test": TEST}
    released.write_scan(tmp_path / "f30k_precomp", scan, repeated=("dev", "test"))
    released.write_scan(tmp_path / "f30k_pfan", scan, repeated=("dev", "test"), ids=False)
    released.write_pfan_blocks(tmp_path / "f30k_pfan")
    coco = {"train": TRAIN, "dev": VAL, "testall": TESTALL}
    released.write_scan(tmp_path / "coco_precomp", coco, repeated=("dev", "testall"))
    released.write_scan(tmp_path / "coco_pfan", coco, repeated=("dev", "testall"), ids=False)
    released.write_pfan_blocks(tmp_path / "coco_pfan")
    captions = [caption for number in TRAIN for caption in released.captions_of(number)]
    released.write_vocabulary(tmp_path / "vocab" / "f30k_precomp_vocab.json", captions)
    released.write_entities(tmp_path / "flickr30k_entities", SPLITS)
    released.write_images(tmp_path / "flickr30k-images", [*TRAIN, *VAL, *TEST])
    released.write_infoground(tmp_path / "detections" / "flickr30k", SPLITS)
    released.write_infoground(tmp_path / "detections" / "coco", {"train": TRAIN, "val": VAL})
    (tmp_path / "objects_vocab.txt").write_text("\n".join(released.CLASSES) + "\n")
    for name, numbers in (("train2014", TRAIN), ("val2014", VAL)):
        released.write_coco_captions(tmp_path / "annotations" / f"captions_{name}.json", numbers, name)
    released.write_karpathy(tmp_path / "dataset_flickr30k.json", SPLITS)
    released.write_tsv(tmp_path / "flickr30k_resnet101_faster_rcnn_genome.tsv", [*TRAIN, *VAL, *TEST])
    released.write_maf(tmp_path / "maf", SPLITS)
    released.write_glove(tmp_path / "glove" / "glove.6B.300d.txt")
    released.write_backbone(tmp_path / "vgg19.onnx")
    tiny_bert(tmp_path / "bert-base-uncased", "BertForMaskedLM")
    _write_checkpoints(tmp_path)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def _write_checkpoints(folder: Path) -> None:
    words = len(read_words(folder / "vocab" / "f30k_precomp_vocab.json"))
    for kind in ("SGR", "SAF"):
        parts = [
            linear_state("fc", 8, released.FEATURES),
            text_state(words, 6, 8, gru="cap_rnn"),
            similarity_state(kind),
        ]
        (folder / f"f30k_{kind}").mkdir()
        save(folder / f"f30k_{kind}" / "model_best.pth.tar", parts, SGRAF_OPTIONS | {"module_name": kind})
    state: dict[str, torch.Tensor] = {}
    for name, width in (("ku.K_layer", 2048), ("fo.f_layer", 2048), ("kw.K_layer", 16), ("fw.f_layer", 16)):
        state |= (
            linear_state(f"{name}.0", width, width)
            | norm_state(f"{name}.1", width)
            | linear_state(f"{name}.3", 8, width)
        )
    (folder / "model_trained_on_flickr").mkdir()
    torch.save(
        {"state_dict": state, "step": 60000, "val_loss": None},
        folder / "model_trained_on_flickr" / "lang_sup_criterion_60000",
    )


def norm_state(name: str, width: int) -> dict[str, torch.Tensor]:
    """The state dict of a batch norm."""
    one = torch.ones(width)
    state = {"weight": one, "bias": one * 0, "running_mean": one * 0, "running_var": one}
    return {f"{name}.{part}": value for part, value in state.items()}


def similarity_state(kind: str) -> dict[str, torch.Tensor]:
    """A random state dict of SGRAF's similarity of width 4, in a joint space of 8 numbers."""
    state: dict[str, torch.Tensor] = {}
    for owner in ("v", "t"):
        for part, rows in (("local", 8), ("global", 8), ("common", 1)):
            state |= linear_state(f"{owner}_global_w.embedding_{part}.0", rows, 8)
    state |= norm_state("v_global_w.embedding_local.1", 36) | norm_state("v_global_w.embedding_global.1", 8)
    state |= (
        linear_state("sim_tranloc_w", 4, 8) | linear_state("sim_tranglo_w", 4, 8) | linear_state("sim_eval_w", 1, 4)
    )
    if kind == "SAF":
        return state | linear_state("SAF_module.attn_sim_w", 1, 4) | norm_state("SAF_module.bn", 1)
    for step in range(3):
        for name in ("graph_query_w", "graph_key_w", "sim_graph_w"):
            state |= linear_state(f"SGR_module.{step}.{name}", 4, 4)
    return state


def test_every_command_runs(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(COMMANDS) > 40 and len(FILES) >= 6
    monkeypatch.chdir(folder)
    for command in COMMANDS:
        try:
            main(shrunk(command))
        except SystemExit:
            pytest.fail(f"unboxed {command}: {capsys.readouterr().err.splitlines()[-1]}")


def test_every_recipe_with_a_paper_is_trained() -> None:
    trained = {shlex.split(command)[1] for command in COMMANDS if command.startswith("fit ")}
    assert trained == set(RECIPES)
    assert all("--preset paper" in command for command in COMMANDS if command.startswith("fit "))


@pytest.mark.parametrize(
    "section", re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:], ids=lambda text: text.split("\n")[0]
)
def test_every_published_number_has_a_command_of_its_protocol(section: str) -> None:
    rows = Counter(re.findall(r"^\|.*\| (Flickr30K 1K|COCO 1K|COCO 5K) \|", section, re.MULTILINE))
    commands = [line for line in section.splitlines() if line.startswith("$ unboxed evaluate")]
    assert len(set(commands)) == len(commands)
    ends = {
        "Flickr30K 1K": "--split test",
        "COCO 1K": "--split testall --folds 5",
        "COCO 5K": "--split testall",
    }
    assert rows <= Counter({name: sum(line.endswith(end) for line in commands) for name, end in ends.items()})
