"""A folder that `unboxed export` wrote, read without PyTorch: what its graphs are to be given."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unboxed.errors import ExportError
from unboxed.priors.scoring import scores
from unboxed.priors.semantic import SemanticPrior
from unboxed.regions.extractor import RegionExtractor
from unboxed.regions.settings import RegionSettings
from unboxed.text.encoding import encode_caption
from unboxed.text.vocabulary import Vocabulary
from unboxed.types import Caption, Regions

__all__ = ["FORMAT", "VERSION", "Exported"]

FORMAT, VERSION = "unboxed-onnx", 1


@dataclass(frozen=True, eq=False)
class Exported:
    """A run's graphs and what belongs to them.

    Attributes:
        folder: that holds NAME.onnx of each graph.
        graphs: name -> the names of its `inputs` and `outputs`, in the order in which they are used.
        extractor: finds regions as the run did.
        vocabulary: the words that it knows.
        by_words: do words look for regions? Else phrases do.
        prior: its semantic prior, where it has one.
    """

    folder: Path
    graphs: Mapping[str, Mapping[str, list[str]]]
    extractor: RegionExtractor
    vocabulary: Vocabulary
    by_words: bool
    prior: SemanticPrior | None = None

    @classmethod
    def open(cls, folder: str | Path) -> Exported:
        """Read the folder; the graphs themselves are not opened.

        Raises:
            ExportError: it is no export, or one of another version.
        """
        folder = Path(folder)
        try:
            about = json.loads((folder / "export.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise ExportError(
                f"{folder} is no export: it has no export.json. Make one with `unboxed export`."
            ) from None
        if not isinstance(about, dict) or (about.get("format"), about.get("version")) != (FORMAT, VERSION):
            raise ExportError(
                f"{folder} was written by another version of unboxed; make it anew with `unboxed export`."
            )
        return cls(
            folder=folder,
            graphs=about["graphs"],
            extractor=RegionExtractor(RegionSettings.from_dict(about["regions"], folder)),
            vocabulary=Vocabulary.load(folder / "vocab.json"),
            by_words=about["queries"] == "words",
            prior=SemanticPrior.load(folder / "prior") if about["prior"] else None,
        )

    def inputs(self, regions: Regions, caption: Caption) -> dict[str, npt.NDArray[Any]]:
        """What the graphs take in for one caption in one image, by name; each takes some of it.

        Args:
            regions: of the image, R >= 1.
            caption: with its phrases.
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
            shown = self.prior.class_scores(
                regions.boxes, regions.class_probs, regions.sources, regions.width, regions.height
            )
            affinity_PE = np.stack([self.prior.affinity(phrase.text) for phrase in caption.phrases])
            values["prior_PR"] = scores(affinity_PE, shown)
            values["prior_BCQR"] = values["prior_PR"][None, None]
        return values
