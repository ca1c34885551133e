"""N-pair retrieval whose match map localizes: words are compared with the cells of a map, without region proposals.

Das et al.: Semi Supervised Phrase Localization in a Bidirectional Caption-Image Retrieval Framework.
arXiv 1908.02950, 2019.

The match map is the inner product of every word with every cell of the image's feature map. Its mean is the score of
image and caption, which is trained with the N-pair loss in both directions. A phrase is localized where the maps of its
words are highest. Cells are the regions R:

    map_BCWR = <word, cell>
    score_BC = mean_W mean_R map
    loss     = -mean_C (log softmax_B(score)[image of C] + log softmax_C(score)[C])

Where this differs from the paper by default: the feature map comes from a small network trained on pixels from scratch
(the paper: VGG-19, pretrained on ImageNet and fine-tuned; `--map features` applies the paper's 3 x 3 convolution to a
stored, frozen map); the score uses the best cell of each word instead of the mean over cells; only nouns and adjectives
are matched, and each is also contrasted by itself with the images whose captions do not contain it (`--words-weight`);
word vectors are learned, without context (the paper: GloVe and an LSTM). Padding is masked, batch norm uses its running
statistics in evaluation, and points are read in the order of the axes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from unboxed.attention.heatmaps import BoxReadOut
from unboxed.errors import RegionsError, RunError
from unboxed.recipes.config import RecipeConfig
from unboxed.recipes.schedule import Schedule
from unboxed.regions.settings import RegionSettings
from unboxed.types import Units

if TYPE_CHECKING:
    import torch

    from unboxed.attention.base import Aligner
    from unboxed.data.dataset import Dataset
    from unboxed.recipes.model import MatchingModel
    from unboxed.recipes.pairs import Pairs

__all__ = ["NPair"]

_COLOURS = 3


@dataclass(frozen=True)
class NPair(RecipeConfig):
    """N-pair. The paper: reduction `mean`, joint width 1024, a 14 x 14 map, batches of 64, SGD at 1e-3.

    Attributes:
        map: `pixels` trains a network on the image's pixels; `features` uses the stored map of a frozen backbone
            (regions of a grid with backbone features, see `unboxed regions --grid`) or of the dataset's detector.
        reduction: from the match map to the score: `mean` over words and cells (the paper), `max-cells` (the best cell
            of each word), `max-rows` (the best cell of each column, then the mean: what the released code does in its
            place), `max-words` (the best word of each cell), `soft-cells` (a smooth maximum over cells).
        contrast: `npair` (the paper), or `triplet`: the mean hinge with the hardest other image and caption.
        margin: of the hinge (the released code: 0.1).
        cells: of the map in each direction.
        patch: pixels of a cell in each direction, a power of two; for `pixels`.
        channels: of the residual blocks; for `pixels`.
        blocks: number of residual blocks over the cells; for `pixels`.
        reach: kernel width of these blocks; for `pixels`. With 3, each block widens the receptive field by one cell
            in every direction; a wide receptive field localizes worse.
        hidden: fraction of the cells that are dropped at random in a training step (the paper: 0).
        words_weight: weight of the contrast of single words (the paper: 0). It has no part in training with a context,
            `max-words`, negatives, distillation or the contrast of phrases.
        context: match the states of the recurrent network (the paper) instead of the word vectors.
        half: compute the convolutions in bfloat16 in training: twice as fast on processors with bfloat16 products,
            slower on others.
        read_out: how boxes are read off the heat map of a phrase.

    Raises:
        RunError: `word_state="mean"` without `context`, `region_hidden` before a map of pixels; a number out of
            range.
    """

    units: ClassVar[Units] = "content"
    attention: ClassVar[str] = "match map over the cells of a grid"
    loss: ClassVar[str] = "N-pair loss in both directions"
    paper: ClassVar[str] = "Das et al., 2019"
    has_cosines: ClassVar[bool] = False

    map: Literal["pixels", "features"] = "pixels"
    reduction: Literal["mean", "max-cells", "max-rows", "max-words", "soft-cells"] = "max-cells"
    contrast: Literal["npair", "triplet"] = "npair"
    margin: float = 0.1
    cells: int = 24
    patch: int = 4
    channels: int = 64
    blocks: int = 1
    reach: Literal[1, 3] = 3
    hidden: float = 0.3
    words_weight: float = 1.0
    context: bool = False
    half: bool = False
    read_out: BoxReadOut = field(default_factory=BoxReadOut)
    class_inputs: bool = False
    joint_width: int = 64
    embedding_width: int = 128
    hidden_width: int = 64
    dropout: float = 0.0
    schedule: Schedule = field(
        default_factory=lambda: Schedule(epochs=24, images_per_batch=16, captions_per_image=5, learning_rate=4e-3)
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.text_encoder.word_state == "mean" and not self.context:
            raise RunError("Without --context, words are compared by their vectors; leave out --word-state mean.")
        for name in ("cells", "channels"):
            if getattr(self, name) < 1:
                raise RunError(f"--{name} is {getattr(self, name)}; it must be at least 1.")
        if self.map == "pixels" and (self.patch < 2 or self.patch & (self.patch - 1)):
            raise RunError(f"--patch is {self.patch}; it must be a power of two from 2 on.")
        if self.hidden >= 1:
            raise RunError(f"--hidden is {self.hidden}; it is a fraction of the cells, at least 0 and below 1.")
        if self.map == "pixels" and self.region_hidden:
            raise RunError("--region-hidden is a layer over features; leave it out, or choose --map features.")

    def region_settings(self, dataset: Dataset) -> tuple[RegionSettings, str]:
        """The cells of a grid, with their pixels, or with the feature map of the dataset's backbone or detector.

        Raises:
            RegionsError: `map` is `features`, and the dataset names neither.
        """
        grid = RegionSettings(whole_image=False, grid=self.cells, colour=False, texture=False)
        shape = f"{self.cells} x {self.cells}"
        if self.map == "pixels":
            return replace(grid, pixels=self.patch), (
                f"Regions: {shape} cells of {self.patch} x {self.patch} pixels each; nothing is proposed."
            )
        own = dataset.regions
        if own is not None and own.backbone is None and own.detector is not None:
            maps = replace(grid, detectors=(own.detector,), class_names=own.class_names, top_k=0, parts=0, unions=0)
            return maps, f"Regions: {shape} cells with the detector's own features; nothing is proposed."
        backbone = own.backbone if own else None
        if backbone is None:
            raise RegionsError(
                f"--map features needs a frozen map, and {dataset.path} names no backbone under [regions]; make a "
                f"store with `unboxed regions … --backbone FILE.onnx --grid {self.cells} --no-whole-image --no-colour` "
                "and name it with --regions, or train from pixels."
            )
        return replace(grid, backbone=backbone), f"Regions: {shape} cells with the features of {backbone.name}."

    @property
    def heat_read_out(self) -> BoxReadOut:
        """The option `read_out`."""
        return self.read_out

    def require_inputs(self, region_width: int) -> None:
        """Raises `RegionsError`: regions without the pixels or features that the options ask for."""
        super().require_inputs(region_width)
        features = region_width - self._geometry
        if self.map == "features" and features <= 0:
            raise RegionsError(
                "--map features needs cells that have features, and these have none: the detector gives no map. "
                "Name a backbone (`unboxed regions … --backbone FILE.onnx --grid N`), or train from pixels."
            )
        if self.map == "pixels" and features != _COLOURS * self.patch**2:
            raise RegionsError(
                f"--map pixels reads {self.patch} x {self.patch} pixels of every cell and nothing else, and these "
                f"regions have {features} features; leave out --regions, or choose --map features."
            )

    def require_sources(self, sources: RegionSettings) -> None:
        """Raises `RegionsError`: a map of pixels, and regions that have other features."""
        others = sources.colour or sources.with_texture or sources.crops
        if self.map == "pixels" and (others or sources.pixels != self.patch):
            raise RegionsError(
                f"--map pixels reads {self.patch} x {self.patch} pixels of every cell and nothing else; leave out the "
                "options that find other regions or features (such as --detector, --prior clip:…), or choose --map "
                "features."
            )

    @property
    def _geometry(self) -> int:
        """The width of the geometry in a region's input."""
        from unboxed.data.batches import GEOMETRY_WIDTH

        return 0 if self.region_inputs == "features" else GEOMETRY_WIDTH

    def aligner(self, region_width: int, state_width: int) -> Aligner:
        """The match map; errors as of `require_inputs`."""
        from unboxed.attention.npair import FeatureCells, MatchMap, PixelCells

        contextual = self.context or self.text != "gru"
        read_width = self.query_width(state_width) if contextual else self.embedding_width
        if not self.region_hidden:
            self.require_inputs(region_width)
        if self.map == "features":
            features = FeatureCells(region_width, self.joint_width)
            return MatchMap(features, read_width, self.joint_width, self.reduction, self.hidden)
        pixels = PixelCells(self.patch, self.joint_width, self.channels, self.blocks, reach=self.reach, half=self.half)
        return MatchMap(pixels, read_width, self.joint_width, self.reduction, self.hidden)

    def objective(self, pairs: Pairs) -> dict[str, torch.Tensor]:
        """The N-pair loss in both directions, or the triplet loss."""
        return self.pair_loss(pairs.score_BC, pairs.image_of_C)

    def pair_loss(self, score_BC: torch.Tensor, image_of_C: torch.Tensor) -> dict[str, torch.Tensor]:
        """The loss of scores of B images and C captions, by its name.

        Args:
            score_BC: how well image and caption fit.
            image_of_C: index of the image that each caption is paired with.
        """
        from unboxed.objectives.contrastive import npair_loss
        from unboxed.objectives.triplet import triplet_loss

        if self.contrast == "npair":
            return {"npair": npair_loss(score_BC, image_of_C)}
        return {"triplet": triplet_loss(score_BC, image_of_C, self.margin) / len(image_of_C)}

    @property
    def shares_maps(self) -> bool:
        """Whether all captions of a batch share the map of a word: no word and no loss depends on the caption."""
        alone = not self.context and self.text == "gru" and self.reduction != "max-words"
        return alone and not (self.distillation.distillation or self.intra_caption or self.negatives != "none")

    def model_class(self) -> type[MatchingModel]:
        """The model that matches each distinct word once."""
        from unboxed.recipes.npair_model import WordMapModel

        return WordMapModel
