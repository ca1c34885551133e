"""Writes a run as ONNX graphs, checks them against PyTorch, and adds everything else that grounding needs.

    regions.onnx     boxes, features and class probabilities of regions  ->  embeddings of regions
    text.onnx        word ids                                            ->  states of words, embeddings of queries
    alignment.onnx   both embeddings                                     ->  similarity, attention, score of every pair
    ranking.onnx     attention of one caption in one image               ->  scores of the regions of its phrases

The last letters of the names of inputs and outputs are their axes (see `types`), of which B, C, W, Q, P and R are
dynamic. An output of one graph is an input of the next one under the same name. The guide “Without PyTorch: ONNX”
grounds with the graphs.
"""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from unboxed.errors import ExportError
from unboxed.export.exported_model import FORMAT, VERSION, is_export
from unboxed.export.onnx_graphs import OPSET, AlignmentGraph, RankingGraph, RegionGraph, TextGraph, exportable
from unboxed.export.onnx_parity import ALIGNMENT, CHECKED, TRACED, Example, embedding_names, uses_prior
from unboxed.runtime.atomic import atomic_folder, write_json
from unboxed.runtime.digests import record_digest, with_digest
from unboxed.runtime.locks import file_lock
from unboxed.runtime.progress import Show
from unboxed.runtime.replaceable import foreign_entries

if TYPE_CHECKING:
    from unboxed.inference.grounder import Grounder

__all__ = ["PARITY", "Graph", "export_onnx", "graphs_of"]

PARITY = 1e-4
"""The largest accepted difference between an output of a graph and PyTorch's."""

_GRAPHS = ("regions", "text", "alignment", "ranking")
_WRITTEN = (*(f"{name}.onnx" for name in _GRAPHS), "export.json", "vocab.json", "digests.json", "prior", "regions")
_AXES = {"B": "images", "C": "captions", "W": "words", "Q": "queries", "P": "phrases", "R": "regions"}


@dataclass(frozen=True)
class Graph:
    """One of the four graphs, before it is written.

    Attributes:
        module: computes it; it is called with keyword arguments.
        arguments: the name of the graph's input for each keyword; several names stand for a list of tensors.
        outputs: the names of the outputs, in order.
    """

    module: nn.Module
    arguments: dict[str, str | tuple[str, ...]]
    outputs: tuple[str, ...]

    def tensors(self, values: dict[str, npt.NDArray[Any]]) -> dict[str, Any]:
        """The keyword arguments of the module.

        Args:
            values: the inputs by name; others are ignored.
        """

        def of(names: str | tuple[str, ...]) -> Any:
            return torch.from_numpy(values[names]) if isinstance(names, str) else [of(name) for name in names]

        return {keyword: of(names) for keyword, names in self.arguments.items()}

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the inputs, in order."""
        return tuple(
            name for names in self.arguments.values() for name in ([names] if isinstance(names, str) else names)
        )


def export_onnx(grounder: Grounder, out: Path, show: Show = print) -> dict[str, float]:
    """Write the graphs of a run, its vocabulary, its prior and the models that find its regions to a folder.

    Every output is compared with PyTorch's, on random regions and captions of several sizes, before an older export is
    replaced. `export.json` lists inputs, outputs and the largest differences.

    Args:
        grounder: the run.
        out: the folder, which one process at a time writes; it is created, or replaced if it is an older export and
            holds nothing else.
        show: is called with a line about each graph.

    Returns:
        The largest difference by graph.

    Raises:
        ExportError: the attention or the text encoder has no ONNX form, `out` is something else, onnxscript or a recent
            PyTorch is missing, or a graph differs from PyTorch by more than `PARITY`.
    """
    out = Path(out)
    with file_lock(out, wait=True):
        _check(grounder, out)
        with atomic_folder(out) as folder:
            return _write_all(grounder, folder, show)


def _write_all(grounder: Grounder, folder: Path, show: Show) -> dict[str, float]:
    graphs, example = graphs_of(grounder), Example.random(grounder, TRACED, seed=0)
    values = example.values()
    for name, graph in graphs.items():
        if name == "ranking":
            values |= example.of_one_pair(values)
        values |= _write(folder / f"{name}.onnx", graph, values)
    differences = _differences(grounder, graphs, folder)
    for name, difference in differences.items():
        show(f"{name}.onnx: differs from PyTorch by at most {difference:.1e}")
    worst = max(differences, key=lambda name: differences[name])
    if not differences[worst] <= PARITY:
        raise ExportError(
            f"{worst}.onnx differs from PyTorch by {differences[worst]:.1e}, more than {PARITY:.0e}; nothing was "
            "written. Try other versions of torch, onnxscript and onnxruntime."
        )
    _write_rest(grounder, graphs, folder, differences)
    return differences


def _check(grounder: Grounder, out: Path) -> None:
    config = grounder.config
    if config.options.members > 1:
        raise ExportError("Runs with --members cannot be exported to ONNX; train one model, without it.")
    if not grounder.model.aligner.exports_to_onnx:
        attention = type(grounder.model.aligner).__name__
        raise ExportError(
            f"{config.recipe} cannot be exported to ONNX: its attention, {attention}, has no ONNX form; the guide "
            "“Without PyTorch: ONNX” lists the recipes that have one."
        )
    if config.options.reads_labels:
        raise ExportError("Runs with --label-vectors cannot be exported to ONNX; train without it.")
    if config.block_columns.any():
        raise ExportError("Runs on imported blocks cannot be exported to ONNX; train on regions with boxes.")
    if config.options.text != "gru":
        raise ExportError(
            f"The text encoder of this run is {config.options.text}; only runs with `--text gru`, the default, can be "
            "exported."
        )
    if config.options.crop_encoder is not None:
        raise ExportError(
            f"The prior of this run reads phrases with a text encoder of transformers, {config.options.crop_encoder}, "
            "which has no ONNX form here; train with --prior semantic to export."
        )
    if config.options.text_encoder.phrase_reads == "phrase":
        raise ExportError(
            "The text encoder of this run reads each phrase alone, which has no ONNX form; train with `--phrase-reads "
            "caption`, the default."
        )
    if importlib.util.find_spec("onnxscript") is None or not hasattr(torch.onnx, "ops"):
        raise ExportError(
            'Writing ONNX needs onnxscript and PyTorch 2.8 or newer: pip install "unboxed[onnx]" "torch>=2.8"'
        )
    _require_replaceable(out)


def _require_replaceable(out: Path) -> None:
    """Raise an error unless there is nothing at `out`, or only an older export."""
    if out.exists() and not is_export(out) and (not out.is_dir() or foreign_entries(out, ())):
        raise ExportError(f"{out} exists and is no export; name a new folder.")
    if foreign := foreign_entries(out, _WRITTEN):
        raise ExportError(f"{out} is an export that also holds {foreign[0]}; move it, or name a new folder.")


def graphs_of(grounder: Grounder) -> dict[str, Graph]:
    """The four graphs of a run by name, in the order in which they are used."""
    config, model = grounder.config, exportable(grounder.model)
    region_names, query_names = embedding_names(grounder)
    regions: dict[str, str | tuple[str, ...]] = {"boxes_BR4": "boxes_BR4", "size_B2": "size_B2"}
    regions |= {"mask_BR": "region_mask_BR"}
    regions |= {"features_BRV": "features_BRV"} if config.columns.any() else {}
    regions |= {"class_probs_BRK": "class_probs_BRK"} if config.options.uses_classes and config.class_names else {}
    text: dict[str, str | tuple[str, ...]] = {
        "tokens_CW": "tokens_CW",
        "mask_CW": "word_mask_CW",
        "member_CQW": "member_CQW",
    }
    alignment: dict[str, str | tuple[str, ...]] = {
        "region_tensors": region_names,
        "region_mask_BR": "region_mask_BR",
        "query_tensors": query_names,
        "query_mask_CQ": "query_mask_CQ",
    }
    alignment |= {"prior_BCQR": "prior_BCQR"} if uses_prior(grounder) else {}
    ranking: dict[str, str | tuple[str, ...]] = {
        name: name for name in ("attention_QR", "value_QR", "member_PQ", "content_Q", "boxes_R4")
    }
    rule = config.ranking
    ranking |= {"class_probs_RK": "class_probs_RK"} if rule.confidence_weight and config.class_names else {}
    ranking |= {"prior_PR": "prior_PR"} if config.ranks_with_prior else {}
    return {
        "regions": Graph(RegionGraph(config, model), regions, region_names),
        "text": Graph(TextGraph(model), text, ("words_CWH", "query_mask_CQ", *query_names)),
        "alignment": Graph(AlignmentGraph(model), alignment, ALIGNMENT),
        "ranking": Graph(RankingGraph(config), ranking, ("score_PR",)),
    }


def _write(path: Path, graph: Graph, values: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """Trace a graph with these values of its inputs, write it, and return the values of its outputs."""

    def axes(names: str | tuple[str, ...]) -> Any:
        if not isinstance(names, str):
            return [axes(name) for name in names]
        letters = names.rpartition("_")[2]
        return {i: torch.export.Dim(_AXES[letter]) for i, letter in enumerate(letters) if letter in _AXES}

    with _quiet():
        program = torch.onnx.export(
            graph.module.eval(),
            kwargs=graph.tensors(values),
            dynamic_shapes={keyword: axes(names) for keyword, names in graph.arguments.items()},
            input_names=graph.inputs,
            output_names=graph.outputs,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        path.write_bytes(_without_notes(program.model_proto).SerializeToString())
    return _run(_session(path), graph, values)


def _without_notes(model: Any) -> Any:
    """The model without the exporter's notes on every node: the source lines it came from, with paths of this disk."""
    graph = model.graph
    for noted in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del noted.metadata_props[:]
        noted.doc_string = ""
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the exporter's warnings about operators of torchvision and about axes that two inputs share."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _session(path: Path) -> Any:
    from onnxruntime import InferenceSession

    return InferenceSession(path, providers=["CPUExecutionProvider"])


def _run(session: Any, graph: Graph, values: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    inputs = {name: values[name] for name in graph.inputs}
    return dict(zip(graph.outputs, session.run(list(graph.outputs), inputs), strict=True))


def _differences(grounder: Grounder, graphs: dict[str, Graph], folder: Path) -> dict[str, float]:
    """The largest difference from PyTorch of the outputs of each graph, whose inputs are PyTorch's.

    With the outputs of other graphs as inputs, rounding errors would grow: a word that matches no region has cosines
    near zero, and normalization enlarges the differences of their last bits.
    """
    sessions = {name: _session(folder / f"{name}.onnx") for name in graphs}
    worst = dict.fromkeys(graphs, 0.0)
    for seed, size in enumerate(CHECKED, start=1):
        example = Example.random(grounder, size, seed)
        values, expected = example.values(), example.expected()
        for name, graph in graphs.items():
            if name == "ranking":
                values |= example.of_one_pair(expected)
            found = _run(sessions[name], graph, values)
            differences = [_difference(found[output], expected[output]) for output in graph.outputs]
            values |= {output: expected[output] for output in graph.outputs}
            worst[name] = max(worst[name], *differences)
    return worst


def _difference(found: npt.NDArray[Any], expected: npt.NDArray[Any]) -> float:
    """The largest difference; infinite if the shapes differ, or if only one value is infinite."""
    if found.shape != expected.shape or not np.array_equal(np.isfinite(found), np.isfinite(expected)):
        return float("inf")
    finite = np.isfinite(found)
    return float(np.abs(found[finite].astype(np.float64) - expected[finite].astype(np.float64)).max(initial=0))


def _write_rest(grounder: Grounder, graphs: dict[str, Graph], folder: Path, differences: dict[str, float]) -> None:
    """Write everything but the graphs: `export.json`, the vocabulary, the prior, the models that find regions."""
    config = grounder.config
    grounder.vocabulary.save(folder / "vocab.json")
    if grounder.prior is not None:
        grounder.prior.save(folder / "prior")
    content = {
        "format": FORMAT,
        "version": VERSION,
        "recipe": config.recipe,
        "queries": "phrases" if config.options.units == "phrases" else "words",
        "score_queries": config.options.units,
        "graphs": {name: {"inputs": graph.inputs, "outputs": graph.outputs} for name, graph in graphs.items()},
        "difference": differences,
        "features": len(config.columns),
        "class_names": list(config.class_names),
        "prior": grounder.prior is not None,
        "regions": config.regions.copied_to(folder / "regions").to_dict(folder),
    }
    write_json(folder / "export.json", with_digest(content))
    for name in (*(f"{graph}.onnx" for graph in graphs), "vocab.json"):
        if (folder / name).is_file():
            record_digest(folder, folder / name)
