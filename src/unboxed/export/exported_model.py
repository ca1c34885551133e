"""Reads a folder that `unboxed export` wrote, and prepares the inputs of its graphs. Loads no PyTorch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unboxed.errors import ExportError, errors_of, plain_reason
from unboxed.priors.scoring import scores
from unboxed.priors.semantic import SemanticPrior
from unboxed.regions.extractor import RegionExtractor
from unboxed.regions.settings import RegionSettings
from unboxed.runtime.confinement import is_file_name, is_inside, outside_links
from unboxed.runtime.digests import check_digest, report_change
from unboxed.runtime.hub import local_only
from unboxed.text.encoding import encode_caption
from unboxed.text.tokens import Vocabulary
from unboxed.types import Caption, Regions

__all__ = ["FORMAT", "VERSION", "Exported", "is_export"]

FORMAT, VERSION = "unboxed-onnx", 1


def is_export(folder: Path) -> bool:
    """Whether a folder is an export, of any version."""
    try:
        content = json.loads((folder / "export.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.get("format") == FORMAT


@dataclass(frozen=True, eq=False)
class Exported:
    """An exported run.

    Attributes:
        folder: contains NAME.onnx for each graph.
        graphs: the names of the `inputs` and `outputs` of each graph, by its name, in the order of use.
        extractor: finds regions with the settings of the run.
        vocabulary: of the run.
        by_words: whether queries are words; otherwise they are phrases.
        prior: the semantic prior, where the run has one.
    """

    folder: Path
    graphs: Mapping[str, Mapping[str, list[str]]]
    extractor: RegionExtractor
    vocabulary: Vocabulary
    by_words: bool
    prior: SemanticPrior | None = None

    @classmethod
    def open(cls, folder: str | Path) -> Exported:
        """Read the folder, without opening the graphs.

        Raises:
            ExportError: the folder is no export, or one of another version.
        """
        folder = Path(folder)
        try:
            content = json.loads((folder / "export.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            raise ExportError(
                f"{folder} is no export: it has no export.json. Make one with `unboxed export`."
            ) from None
        if not isinstance(content, dict) or (content.get("format"), content.get("version")) != (FORMAT, VERSION):
            raise ExportError(
                f"{folder} was written by another version of unboxed; export the run again with `unboxed export`."
            )
        try:
            graphs, by_words, with_prior = content["graphs"], content["queries"] == "words", bool(content["prior"])
            with errors_of(folder / "export.json"):
                settings = RegionSettings.from_dict(content["regions"], folder)
            names = [f"{name}.onnx" for name in graphs if is_file_name(name)]
            if len(names) < len(graphs):
                raise ValueError("the name of a graph is not a file name")
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError, RecursionError) as error:
            raise ExportError(
                f"{folder / 'export.json'} is damaged ({plain_reason(error)}); export the run again."
            ) from None
        foreign = [path for path in settings.model_files.values() if not is_inside(path, folder)]
        for path in (*foreign, *outside_links(folder, (*names, "vocab.json", "prior", "regions"))):
            raise ExportError(f"{path} is outside the export {folder}, or a link out of it; export the run again.")
        try:
            for name in (*names, "vocab.json"):
                if (folder / name).is_file():
                    check_digest(folder / name)
        except ValueError as error:
            raise ExportError(f"{folder} is damaged ({error}); export the run again.") from None
        report_change(folder / "export.json", content)
        with local_only():
            extractor = RegionExtractor(settings)
        return cls(
            folder=folder,
            graphs=graphs,
            extractor=extractor,
            vocabulary=Vocabulary.load(folder / "vocab.json"),
            by_words=by_words,
            prior=SemanticPrior.load(folder / "prior") if with_prior else None,
        )

    def inputs(self, regions: Regions, caption: Caption) -> dict[str, npt.NDArray[Any]]:
        """The inputs of the graphs for one caption in one image, by name; each graph takes some of them.

        Args:
            regions: of the image, R >= 1.
            caption: with its phrases.

        Returns:
            All inputs but those that are outputs of another graph.
        """
        words = encode_caption(caption, self.vocabulary)
        member_QW = np.eye(len(words), dtype=bool) if self.by_words else words.phrase_PW
        values: dict[str, npt.NDArray[Any]] = {
            "boxes_BR4": regions.boxes[None],
            "size_B2": np.array([[regions.width, regions.height]], np.float32),
            "region_mask_BR": np.ones((1, len(regions)), bool),
            "features_BRV": regions.features[None],
            "class_probs_BRK": regions.class_probs[None],
            "tokens_CW": words.tokens_W[None],
            "word_mask_CW": np.ones((1, len(words)), bool),
            "member_CQW": member_QW[None],
            "boxes_R4": regions.boxes,
            "class_probs_RK": regions.class_probs,
            "member_PQ": words.phrase_PW if self.by_words else np.eye(len(member_QW), dtype=bool),
            "content_Q": words.content_W if self.by_words else np.ones(len(member_QW), bool),
        }
        if self.prior is not None and caption.phrases:
            class_score_RE = self.prior.class_scores(regions)
            affinity_PE = np.stack([self.prior.affinity(phrase.text) for phrase in caption.phrases])
            values["prior_PR"] = scores(affinity_PE, class_score_RE)
            values["prior_BCQR"] = values["prior_PR"][None, None]
        return values
