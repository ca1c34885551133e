"""N-pair retrieval whose match map localises: words against the cells of a map, no region proposed.

Das et al.: Semi Supervised Phrase Localization in a Bidirectional Caption-Image Retrieval Framework.
arXiv 1908.02950, 2019.

Every word meets every cell of the photograph's map in a plain product; the mean of these products is the score of
photograph and caption, and each must pick the other from the batch. A phrase is where its words' maps are hottest.

Where this differs from the paper by default: the map comes from a small network trained from pixels, from scratch (the
paper: VGG-19, pretrained on ImageNet and tuned along; `--map features` puts the paper's 3 x 3 convolution on a stored,
frozen map); a smooth maximum over cells stands in the place of the mean; nouns and adjectives alone are matched, and
each has to pick its photograph by itself too, from those whose captions do not say the same word (`--words-weight`);
word vectors are learned, and read without their context (the paper: GloVe and an LSTM). Padding is masked, batch norm
uses its running statistics in evaluation, and points are read in the order of the axes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from unboxed.errors import RegionsError
from unboxed.evaluation.heatmap import BoxReadOut
from unboxed.recipes.choices import Choices, Units
from unboxed.regions.settings import RegionSettings
from unboxed.training.schedule import Schedule

if TYPE_CHECKING:
    import torch

    from unboxed.alignment.aligner import Aligner
    from unboxed.data.dataset import Dataset
    from unboxed.recipes.pairs import Pairs

__all__ = ["NPair"]

_COLOURS = 3


@dataclass(frozen=True)
class NPair(Choices):
    """N-pair. The paper: reduction `mean`, joint width 1024, a 14 x 14 map, batches of 64, SGD at 1e-3.

    Attributes:
        map: `pixels` trains a network from the photographs' pixels; `features` reads a stored map of a frozen backbone
            (regions of a grid with backbone features, see `unboxed regions --grid`).
        reduction: how a map becomes a score: `mean` over words and cells (the paper), `max-cells` (the best cell of
            each word), `max-words` (the best word of each cell), `soft-cells` (a smooth maximum over cells).
        cells: of the map in each direction.
        patch: pixels of a cell in each direction, a power of two; for `pixels`.
        channels: of the network's stages among the cells; for `pixels`.
        blocks: how many of these stages there are; for `pixels`.
        words_weight: weight of the contrast of single words beside that of captions (the paper: 0).
        context: match words as the recurrent network reads them (the paper), or their own vectors alone.
        read_out: how boxes are read off the map of a phrase.
    """

    units: ClassVar[Units] = "content"
    reads_heat: ClassVar[bool] = True

    map: Literal["pixels", "features"] = "pixels"
    reduction: Literal["mean", "max-cells", "max-words", "soft-cells"] = "soft-cells"
    cells: int = 12
    patch: int = 8
    channels: int = 64
    blocks: int = 2
    words_weight: float = 1.0
    context: bool = False
    read_out: BoxReadOut = field(default_factory=BoxReadOut)
    joint_width: int = 64
    embedding_width: int = 128
    hidden_width: int = 64
    dropout: float = 0.0
    schedule: Schedule = field(
        default_factory=lambda: Schedule(epochs=20, images_per_batch=16, captions_per_image=5, learning_rate=4e-3)
    )

    def region_settings(self, dataset: Dataset) -> tuple[RegionSettings, str]:
        """The cells of a grid, described by their pixels or by the dataset's backbone.

        Raises:
            RegionsError: features are wanted, and the dataset names no backbone.
        """
        grid = RegionSettings(whole_image=False, grid=self.cells, colour=False, texture=False)
        shape = f"{self.cells} x {self.cells}"
        if self.map == "pixels":
            return replace(grid, pixels=self.patch), (
                f"Regions: {shape} cells of {self.patch} x {self.patch} pixels each; nothing is proposed."
            )
        backbone = dataset.regions.backbone if dataset.regions else None
        if backbone is None:
            raise RegionsError(
                f"--map features needs a frozen map, and {dataset.path} names no backbone under [regions]; make a "
                f"store with `unboxed regions … --backbone FILE.onnx --grid {self.cells} --no-whole-image --no-colour` "
                "and name it with --regions, or train from pixels."
            )
        return replace(grid, backbone=backbone), f"Regions: {shape} cells with the features of {backbone.name}."

    def aligner(self, region_width: int, state_width: int) -> Aligner:
        """The match map.

        Raises:
            RegionsError: regions without as many pixels as the choices say.
        """
        from unboxed.alignment.convolution import FeatureCells, PixelCells
        from unboxed.alignment.match_map import MatchMap
        from unboxed.data.batching import GEOMETRY_WIDTH

        read_width = state_width if self.context or self.text != "gru" else self.embedding_width
        if self.map == "features":
            features = FeatureCells(region_width, self.joint_width)
            return MatchMap(features, read_width, self.joint_width, self.reduction)
        if region_width != _COLOURS * self.patch**2 + GEOMETRY_WIDTH:
            raise RegionsError(
                f"--map pixels reads {self.patch} x {self.patch} pixels of every cell and nothing else, and these "
                f"regions have {region_width - GEOMETRY_WIDTH} features; leave out --regions, or choose --map features."
            )
        pixels = PixelCells(self.patch, self.joint_width, self.channels, self.blocks)
        return MatchMap(pixels, read_width, self.joint_width, self.reduction)

    def objective(self, pairs: Pairs) -> dict[str, torch.Tensor]:
        """Captions pick their photographs and photographs their captions; words pick theirs."""
        from unboxed.objectives.infonce import shared_word_infonce
        from unboxed.objectives.npair import npair_loss

        batch, alignment = pairs.batch, pairs.alignment
        parts = {"npair": npair_loss(alignment.score_BC, batch.image_of_C)}
        if self.words_weight:
            evidence_BN = alignment.evidence_BCQ[:, pairs.queries.mask_CQ]
            image_of_N = batch.image_of_C[:, None].expand_as(batch.tokens_CW)[batch.content_CW]
            words = shared_word_infonce(evidence_BN, batch.tokens_CW[batch.content_CW], image_of_N)
            parts["words"] = self.words_weight * words
        return parts
