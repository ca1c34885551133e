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

import unboxed
from unboxed.errors import ExportError
from unboxed.recipes import RECIPES

pytest.importorskip("onnxscript", reason="onnxscript is not installed: pip install 'unboxed[onnx]'")

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "onnx.md"


@pytest.fixture(scope="module")
def exported(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, float]]]:
    """The export of the tiny run, and how far its graphs are from PyTorch."""
    from unboxed.export.onnx import export_onnx

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


@pytest.mark.parametrize("name", ["ckd", "sprm", "scan", "bfan", "pfan", "vse"])
def test_the_graphs_of_a_recipe_compute_what_its_model_does(name: str, tiny_run: Path) -> None:
    """What is exported, still in PyTorch: the exporter itself is checked above, and by every export."""
    import torch

    from unboxed.export.onnx import graphs_of
    from unboxed.export.onnx_parity import CHECKED, Example
    from unboxed.inference.grounder import Grounder

    given = unboxed.load(tiny_run)
    options = replace(RECIPES[name](), joint_width=24)
    torch.manual_seed(0)
    model = options.build(given.vocabulary, given.config.region_width)
    grounder = Grounder(replace(given.config, recipe=name, options=options), model, given.vocabulary)
    example = Example.random(grounder, CHECKED[0], seed=3)
    values, expected = example.values(), example.expected()
    for graph_name, graph in graphs_of(grounder).items():
        if graph_name == "text":  # its GRU is an operator of ONNX, which PyTorch does not run
            values |= {output: expected[output] for output in graph.outputs}
            continue
        if graph_name == "ranking":
            values |= example.of_one_pair(values)
        with torch.inference_mode():
            answer = graph.module(**graph.given(values))
        for output, value in zip(graph.outputs, (answer,) if isinstance(answer, torch.Tensor) else answer, strict=True):
            np.testing.assert_allclose(value, expected[output], atol=2e-5, err_msg=f"{graph_name}: {output}")
            values[output] = value.numpy()


def test_a_folder_that_is_no_export_says_so(tmp_path: Path) -> None:
    from unboxed.export.exported_model import Exported

    with pytest.raises(ExportError, match=r"no export: it has no export\.json"):
        Exported.open(tmp_path)
    (tmp_path / "export.json").write_text('{"format": "unboxed-onnx", "version": 9}')
    with pytest.raises(ExportError, match="another version of unboxed"):
        Exported.open(tmp_path)


def test_what_cannot_be_exported_says_so(tiny_run: Path, tmp_path: Path) -> None:
    from unboxed.export.onnx import export_onnx
    from unboxed.inference.grounder import Grounder

    given = unboxed.load(tiny_run)
    options = RECIPES["sgr"]()
    model = options.build(given.vocabulary, given.config.region_width)
    grounder = Grounder(replace(given.config, recipe="sgr", options=options), model, given.vocabulary)
    with pytest.raises(ExportError, match="sgr cannot be exported to ONNX: its attention, SimilarityReasoning"):
        export_onnx(grounder, tmp_path / "sgr")
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "mine.txt").write_text("dear")
    with pytest.raises(ExportError, match="exists and is no export"):
        export_onnx(given, tmp_path / "letters")
    assert (tmp_path / "letters" / "mine.txt").is_file()
