"""A run as ONNX graphs: the same numbers as PyTorch, and a program that grounds without it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import unboxed
from unboxed.data.dataset import load_dataset
from unboxed.errors import ExportError
from unboxed.export import onnx
from unboxed.export.exported_model import Exported
from unboxed.export.onnx import export_onnx, graphs_of
from unboxed.export.onnx_parity import CHECKED, Example
from unboxed.inference.grounder import Grounder
from unboxed.recipes import RECIPES
from unboxed.recipes.sprm import SPRM
from unboxed.regions.store import RegionStore
from unboxed.training.fitting import FitSettings, fit
from unboxed.types import Caption

pytest.importorskip("onnxscript", reason="onnxscript is not installed: pip install 'unboxed[onnx]'")
pytest.importorskip("torch", "2.8", reason="writing ONNX needs PyTorch 2.8")

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "onnx.md"


@pytest.fixture(scope="module")
def exported(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, float]]]:
    """The export of the tiny run, and how far its graphs are from PyTorch."""
    out = tmp_path_factory.mktemp("onnx") / "exported"
    said: list[str] = []
    differences = export_onnx(unboxed.load(tiny_run), out, said.append)
    assert [line.split(":")[0] for line in said] == [f"{name}.onnx" for name in differences]
    return out, differences


def test_every_graph_is_within_a_ten_thousandth_of_pytorch(exported: tuple[Path, dict[str, float]]) -> None:
    out, differences = exported
    assert list(differences) == ["regions", "text", "alignment", "ranking"]
    assert all(0 < difference <= 1e-4 for difference in differences.values())
    about = json.loads((out / "export.json").read_text())
    assert about["difference"] == differences
    assert not any(b".py" in (out / f"{name}.onnx").read_bytes() for name in differences)  # no paths of this disk
    made = {name for graph in about["graphs"].values() for name in graph["outputs"]}
    assert set(about["graphs"]["alignment"]["inputs"]) <= made | {"region_mask_BR"}


def test_the_program_of_the_guide_grounds_as_the_library_does_and_never_imports_pytorch(
    exported: tuple[Path, dict[str, float]], tiny_run: Path, tiny_dataset: Path
) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(program.splitlines()) <= 30
    image, text = tiny_dataset.parent / "photos" / "3.png", "A red box beside a blue box."
    names = f"EXPORTED, PHOTO, TEXT = {str(exported[0])!r}, {str(image)!r}, {text!r}\n"
    check = "\nimport sys\nassert 'torch' not in sys.modules\n"
    ran = subprocess.run([sys.executable, "-c", names + program + check], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    grounding = unboxed.load(tiny_run).ground(image, text)
    for line, phrase in zip(ran.stdout.splitlines(), grounding.phrases, strict=True):
        said, box, score = re.fullmatch(r"(.*) (\[.*\]) (.*)", line).groups()  # type: ignore[union-attr]
        assert said == phrase.text
        np.testing.assert_allclose(json.loads(box), phrase.boxes[0], atol=1e-3)
        assert float(score) == pytest.approx(float(phrase.scores[0]), abs=1e-4)


def _untrained(name: str, run: Grounder, **options: object) -> Grounder:
    """A model of a recipe with random weights and the vocabulary, regions and prior of a run."""
    if name == "npair":  # cells with the features of the regions instead of pixels
        options["map"] = "features"
    built = replace(RECIPES[name](), **{"joint_width": 24, **options})  # type: ignore[arg-type]
    torch.manual_seed(0)
    model = built.build(run.vocabulary, run.config.region_width)
    return Grounder(replace(run.config, recipe=name, options=built), model, run.vocabulary, run.prior)


def _exportable(name: str, run: Grounder) -> bool:
    return _untrained(name, run).model.aligner.exports_to_onnx


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_the_graphs_of_a_recipe_compute_what_its_model_computes(name: str, tiny_run: Path, tmp_path: Path) -> None:
    """The modules that are exported, in PyTorch; the exporter itself is checked above, and by every export."""
    grounder = _untrained(name, unboxed.load(tiny_run))
    if not _exportable(name, unboxed.load(tiny_run)):
        with pytest.raises(
            ExportError, match=f"{name} cannot be exported to ONNX: its attention, .*, has no ONNX form"
        ):
            export_onnx(grounder, tmp_path / "out")
        assert not (tmp_path / "out").exists()
        return
    example = Example.random(grounder, CHECKED[0], seed=3)
    values, expected = example.values(), example.expected()
    for graph_name, graph in graphs_of(grounder).items():
        if graph_name == "text":  # its GRU is an operator of ONNX, which PyTorch does not run
            values |= {output: expected[output] for output in graph.outputs}
            continue
        if graph_name == "ranking":
            values |= example.of_one_pair(values)
        with torch.inference_mode():
            answer = graph.module(**graph.tensors(values))
        for output, value in zip(graph.outputs, (answer,) if isinstance(answer, torch.Tensor) else answer, strict=True):
            np.testing.assert_allclose(value, expected[output], atol=2e-5, err_msg=f"{graph_name}: {output}")
            values[output] = value.numpy()


def test_the_guide_lists_the_recipes_that_can_be_exported(tiny_run: Path) -> None:
    run = unboxed.load(tiny_run)
    (listed,) = re.findall(r"\n([a-z, ]+) can be exported, with", GUIDE.read_text(encoding="utf-8"))
    assert set(re.split(r", | and ", listed)) == {name for name in RECIPES if _exportable(name, run)}


@pytest.fixture(scope="module")
def prior_run(tiny_world: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Grounder:
    """A run with a semantic prior."""
    run = tmp_path_factory.mktemp("prior") / "run"
    fit("sprm", SPRM(untrained=True, joint_width=24), FitSettings(tiny_world[0], run, regions=tiny_world[1]))
    return Grounder.load(run)


@pytest.mark.parametrize("name", ["infoground", "ckd", "sprm"])
def test_the_inputs_of_an_exported_run_give_its_scores(
    name: str, prior_run: Grounder, tiny_world: tuple[Path, Path], tmp_path: Path
) -> None:
    """Queries of words (infoground) and of phrases; the prior is in the ranking, or in the alignment (sprm)."""
    grounder = _untrained(name, prior_run, prior="semantic")
    graphs = graphs_of(grounder)
    onnx._write_rest(grounder, graphs, tmp_path, {})
    exported = Exported.open(tmp_path)
    assert list(exported.graphs) == list(graphs) and exported.vocabulary == grounder.vocabulary
    store, examples = RegionStore.open(tiny_world[1]), load_dataset(tiny_world[0]).split("val").examples
    for example in examples[:3]:
        regions, caption = store[example.image_id], example.captions[0]
        values = {key: np.array(value) for key, value in exported.inputs(regions, caption).items()}
        captions = grounder.batcher.captions(grounder.batcher.encode([caption]))
        queries = grounder.model.encode_captions(captions, None, "words" if exported.by_words else "phrases").queries
        values |= {"query_mask_CQ": queries.mask_CQ.numpy()}
        values |= dict(zip(graphs["text"].outputs[2:], (t.detach().numpy() for t in queries.tensors), strict=True))
        for graph_name in ("regions", "alignment", "ranking"):
            graph = graphs[graph_name]
            if graph_name == "ranking":
                values |= {f"{kind}_QR": values[f"{kind}_BCQR"][0, 0] for kind in ("attention", "value")}
            with torch.inference_mode():
                answer = graph.module(**graph.tensors(values))
            outputs = (answer,) if isinstance(answer, torch.Tensor) else answer
            values |= dict(zip(graph.outputs, (output.numpy() for output in outputs), strict=True))
        (grounding,) = grounder.ground_regions(regions, [caption])
        for phrase, score_R in zip(grounding.phrases, values["score_PR"], strict=True):
            np.testing.assert_allclose(np.sort(score_R)[::-1], phrase.scores, atol=1e-4)
    assert "prior_PR" not in exported.inputs(regions, Caption("…a"))


@pytest.mark.parametrize("content", [None, "{", '{"format": "unboxed-onnx", "version": 9}', "[]"])
def test_a_folder_that_is_no_export_says_so(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "export.json").write_text(content)
    message = r"no export: it has no export\.json" if content in (None, "{") else "another version of unboxed"
    with pytest.raises(ExportError, match=message):
        Exported.open(tmp_path)


def test_what_cannot_be_exported_says_so(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = unboxed.load(tiny_run)
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "mine.txt").write_text("dear")
    with pytest.raises(ExportError, match="exists and is no export"):
        export_onnx(run, tmp_path / "letters")
    (tmp_path / "letters" / "export.json").write_text('{"format": "of another program"}')
    with pytest.raises(ExportError, match="exists and is no export"):
        export_onnx(run, tmp_path / "letters")
    (tmp_path / "letters" / "export.json").write_text('{"format": "unboxed-onnx"}')
    with pytest.raises(ExportError, match=r"is an export that also holds mine\.txt; move it, or name a new folder"):
        export_onnx(run, tmp_path / "letters")
    assert (tmp_path / "letters" / "mine.txt").is_file()
    pretrained = Grounder(
        replace(run.config, options=replace(run.config.options, text="bert")), run.model, run.vocabulary
    )
    with pytest.raises(ExportError, match="The text encoder of this run is bert; only runs with `--text gru`"):
        export_onnx(pretrained, tmp_path / "out")
    monkeypatch.setattr(onnx.importlib.util, "find_spec", lambda name: None)  # type: ignore[attr-defined]
    with pytest.raises(ExportError, match=r"Writing ONNX needs onnxscript and PyTorch 2\.8 or newer"):
        export_onnx(run, tmp_path / "out")


@pytest.mark.parametrize("difference", [0.5, float("nan"), float("inf")])
def test_graphs_that_differ_from_pytorch_are_not_written_and_an_older_export_stays(
    difference: float, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "export.json").write_text('{"format": "unboxed-onnx"}')
    monkeypatch.setattr(onnx, "_write", lambda path, graph, values: {})
    monkeypatch.setattr(Example, "of_one_pair", lambda self, values: {})
    monkeypatch.setattr(onnx, "_differences", lambda *_: {"text": difference})
    with pytest.raises(
        ExportError, match=r"text\.onnx differs from PyTorch by .*, more than 1e-04; nothing was written"
    ):
        export_onnx(unboxed.load(tiny_run), tmp_path / "out", lambda line: None)
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "export.json"]


def test_the_difference_of_arrays_counts_shapes_and_infinite_values() -> None:
    inf = np.array([1.0, np.inf])
    assert onnx._difference(inf, np.array([1.5, np.inf])) == 0.5
    assert onnx._difference(inf, np.array([np.inf, 1.0])) == np.inf
    assert onnx._difference(inf, np.ones(3)) == np.inf
    assert onnx._difference(np.zeros(0), np.zeros(0)) == 0
