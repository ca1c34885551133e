"""A small masked language model that is trained on the training captions, for use without a pretrained one.

Word level: a transformer encoder of a few layers with tied input and output embeddings. It is trained with BERT's
corruption (of the words to predict 80 % are masked, 10 % replaced by a random word, 10 % left as they are), so that it
also predicts words that are *not* masked; the re-ranking of `substitution` needs both predictions.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from unboxed.errors import CaptionError
from unboxed.runtime.progress import track
from unboxed.text.tokens import MASK_ID, PAD_ID, SPECIAL, UNKNOWN_ID, Vocabulary, words
from unboxed.types import Array

__all__ = ["MaskedLM", "MaskedLMSettings", "corrupt", "small_model_fingerprint", "train_masked_lm"]

_EVALUATION_BATCH = 256
_MOST_EPOCHS = 60


@dataclass(frozen=True)
class MaskedLMSettings:
    """Size and training of the small model. The defaults train on 40,000 captions in less than 2 minutes on 2 cores.

    Attributes:
        width: of the word embeddings; a multiple of `heads`.
        layers: number of transformer layers.
        heads: attention heads of each layer.
        min_count: a word that occurs less often in the captions is `<unk>`.
        predict: share of a caption's words that a training step predicts.
        epochs: passes over the captions.
        min_steps, max_steps: limits of the number of training steps. A few captions are read 60 times at most, after
            which nothing is learned any more.
        batch: captions in a step.
        learning_rate: the peak of AdamW's one-cycle schedule.
        seed: of the weights, the order and the corruption.
    """

    width: int = 128
    layers: int = 2
    heads: int = 4
    min_count: int = 2
    predict: float = 0.25
    epochs: int = 3
    min_steps: int = 800
    max_steps: int = 4000
    batch: int = 64
    learning_rate: float = 3e-3
    seed: int = 0


class MaskedLM(nn.Module):
    """The small masked language model, see the head of this module. Implements `MaskedLanguageModel`.

    Args:
        vocabulary: the words that it reads and predicts.
        settings: its size.
        fingerprint: see `small_model_fingerprint`.

    Attributes:
        fingerprint: digest of the settings and the captions.
        held_out_perplexity: exp of the mean cross-entropy of single masked words in captions that it was not trained
            on; None when there were too few captions to hold any back.
    """

    def __init__(self, vocabulary: Vocabulary, settings: MaskedLMSettings, fingerprint: str = "") -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.settings = settings
        self.held_out_perplexity: float | None = None
        self.fingerprint = fingerprint
        self.embedding = nn.Embedding(len(vocabulary), settings.width)
        nn.init.normal_(self.embedding.weight, std=0.02)
        layers = [
            nn.TransformerEncoderLayer(
                settings.width,
                settings.heads,
                4 * settings.width,
                dropout=0.0,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
            for _ in range(settings.layers)
        ]
        self.layers = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(settings.width)
        self.bias = nn.Parameter(torch.zeros(len(vocabulary)))

    def states(self, tokens_CW: Tensor) -> Tensor:
        """Contextual states `[C, W, width]` of word ids `[C, W]`; id 0 is padding and is not attended to."""
        state_CWD = self.embedding(tokens_CW) * math.sqrt(self.settings.width)
        state_CWD = state_CWD + _sinusoids(tokens_CW.shape[1], self.settings.width)
        # An additive mask of floats: the boolean one takes a slow path that warns in evaluation mode.
        blocked_CW = torch.zeros(tokens_CW.shape).masked_fill(tokens_CW == PAD_ID, -torch.inf)
        for layer in self.layers:
            state_CWD = layer(state_CWD, src_key_padding_mask=blocked_CW)
        normed_CWD: Tensor = self.norm(state_CWD)
        return normed_CWD

    def logits(self, state_ND: Tensor, ids: Tensor | None = None) -> Tensor:
        """Logits `[N, V]` of all words, or of the words `ids` `[V]`, given states `[N, width]`."""
        weight, bias = (
            (self.embedding.weight, self.bias) if ids is None else (self.embedding.weight[ids], self.bias[ids])
        )
        return functional.linear(state_ND, weight, bias)

    def in_vocabulary(self, candidates: Sequence[str]) -> npt.NDArray[np.bool_]:
        """See `MaskedLanguageModel`."""
        return np.array([word in self.vocabulary and word not in SPECIAL for word in candidates], dtype=bool)

    @torch.inference_mode()
    def log_probabilities(
        self, captions: Sequence[str], positions: Sequence[int], candidates: Sequence[str]
    ) -> tuple[Array, Array]:
        """See `MaskedLanguageModel`."""
        ids = torch.tensor(self.vocabulary.encode(candidates))
        place_N = torch.tensor(positions)
        # One reading of the unmasked caption gives q at all its positions.
        distinct = {caption: index for index, caption in enumerate(dict.fromkeys(captions))}
        row_N = torch.tensor([distinct[caption] for caption in captions])
        tokens_CW = _padded([_encoded(caption, self.vocabulary) for caption in distinct])
        q_ND = self.states(tokens_CW)[row_N, place_N]
        masked_NW = tokens_CW[row_N]
        masked_NW[torch.arange(len(row_N)), place_N] = MASK_ID
        p_ND = self.states(masked_NW)[torch.arange(len(row_N)), place_N]
        p_NV, q_NV = (self.logits(state_ND, ids).log_softmax(dim=1).numpy() for state_ND in (p_ND, q_ND))
        return p_NV, q_NV


def train_masked_lm(
    captions: Sequence[str], settings: MaskedLMSettings | None = None, *, progress: bool = False
) -> MaskedLM:
    """Train the small masked language model on captions; equal captions, settings and threads give equal weights.

    The last fiftieth of the captions, 500 at most, is held back for `held_out_perplexity`: datasets list an image's
    captions together, so these are mostly captions of images of which no caption was in the training.

    Args:
        captions: the training captions; those without words are skipped.
        settings: size and training; the defaults when None.
        progress: show a bar with the time left.

    Raises:
        CaptionError: no caption has a word.
    """
    settings = settings or MaskedLMSettings()
    vocabulary = Vocabulary.from_captions(captions, settings.min_count)
    encoded = [ids for caption in captions if (ids := _encoded(caption, vocabulary))]
    if not encoded:
        raise CaptionError("There is no caption with a word to train a language model on; give it captions.")
    held_out = min(len(encoded) // 50, 500)
    train, kept_back = encoded[: len(encoded) - held_out], encoded[len(encoded) - held_out :]

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = MaskedLM(vocabulary, settings, small_model_fingerprint(captions, settings))
    steps = _steps(len(train), settings)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=0.01)
    batches = enumerate(itertools.islice(_batches(train, settings), steps))
    for step, tokens_CW in track(batches, "Language model", steps, progress):
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * _one_cycle(step, steps)
        generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
        corrupted_CW, chosen_CW = corrupt(tokens_CW, len(vocabulary), settings.predict, generator)
        loss = functional.cross_entropy(model.logits(model.states(corrupted_CW)[chosen_CW]), tokens_CW[chosen_CW])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.eval().requires_grad_(False)
    model.held_out_perplexity = _perplexity(model, kept_back)
    return model


def small_model_fingerprint(captions: Sequence[str], settings: MaskedLMSettings) -> str:
    """The fingerprint of `train_masked_lm(captions, settings)`, without the training."""
    digest = hashlib.sha256(json.dumps(["small masked language model 1", asdict(settings)]).encode())
    for caption in captions:
        digest.update(caption.encode() + b"\0")
    return digest.hexdigest()


def corrupt(tokens_CW: Tensor, vocabulary_size: int, share: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """BERT's corruption of word ids `[C, W]`.

    Every word is chosen with probability `share`, and at least one of each caption. Of the chosen ones 80 % become
    `<mask>`, 10 % a random word that is not special, 10 % stay.

    Args:
        tokens_CW: word ids, 0 for padding.
        vocabulary_size: random words have ids below this.
        share: in [0, 1].
        generator: the source of randomness.

    Returns:
        The corrupted ids `[C, W]` and a mask `[C, W]`, True where a word is to be predicted.
    """
    real_CW = tokens_CW != PAD_ID
    order_CW = torch.rand(tokens_CW.shape, generator=generator).masked_fill(~real_CW, 2.0)
    chosen_CW = (order_CW < share) | ((order_CW == order_CW.amin(dim=1, keepdim=True)) & real_CW)
    action_CW = torch.rand(tokens_CW.shape, generator=generator)
    random_CW = torch.randint(
        min(len(SPECIAL), vocabulary_size - 1), vocabulary_size, tokens_CW.shape, generator=generator
    )
    corrupted_CW = torch.where(chosen_CW & (action_CW < 0.8), MASK_ID, tokens_CW)
    return torch.where(chosen_CW & (action_CW >= 0.9), random_CW, corrupted_CW), chosen_CW


def _steps(captions: int, settings: MaskedLMSettings) -> int:
    """The number of training steps."""
    epoch = math.ceil(captions / settings.batch)
    least = min(settings.min_steps, max(settings.epochs, _MOST_EPOCHS) * epoch)
    return min(max(settings.epochs * epoch, least), settings.max_steps)


def _one_cycle(step: int, steps: int) -> float:
    """Share of the peak learning rate: a linear rise over the first tenth, a cosine down to 0.

    The shape is that of `Schedule.rate`, and stays when that changes: kept negatives are found by a fingerprint that
    stands for this training.
    """
    rise = max(steps // 10, 1)
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(steps - rise, 1)))


def _batches(encoded: Sequence[list[int]], settings: MaskedLMSettings) -> Iterator[Tensor]:
    """Padded ids `[C, W]`, endlessly: each epoch in a new order, captions of similar length together."""
    lengths = np.array([len(ids) for ids in encoded])
    for epoch in itertools.count():
        random = np.random.default_rng((settings.seed, epoch))
        # The sort by length is stable, so that captions of equal length keep the epoch's random order.
        order = random.permutation(len(encoded))
        order = order[np.argsort(lengths[order], kind="stable")]
        starts = np.arange(0, len(encoded), settings.batch)
        for start in random.permutation(starts):
            yield _padded([encoded[index] for index in order[start : start + settings.batch]])


def _encoded(caption: str, vocabulary: Vocabulary) -> list[int]:
    return vocabulary.encode(word.text for word in words(caption))


def _padded(rows: Sequence[Sequence[int]]) -> Tensor:
    tokens_CW = torch.full((len(rows), max(map(len, rows))), PAD_ID)
    for index, row in enumerate(rows):
        tokens_CW[index, : len(row)] = torch.tensor(row)
    return tokens_CW


def _sinusoids(length: int, width: int) -> Tensor:
    """Sinusoidal position embeddings `[length, width]`, for captions of any length."""
    frequency = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angle = torch.arange(length)[:, None] * frequency
    return torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1)[:, :width]


@torch.inference_mode()
def _perplexity(model: MaskedLM, captions: Sequence[list[int]]) -> float | None:
    """Exp of the mean cross-entropy of each known word, masked alone; None without captions."""
    slots = [(ids, place) for ids in captions for place, word in enumerate(ids) if word != UNKNOWN_ID]
    if not slots:
        return None
    total = 0.0
    for start in range(0, len(slots), _EVALUATION_BATCH):
        part = slots[start : start + _EVALUATION_BATCH]
        tokens_NW, place_N = _padded([ids for ids, _ in part]), torch.tensor([place for _, place in part])
        row_N = torch.arange(len(part))
        target_N = tokens_NW[row_N, place_N].clone()
        tokens_NW[row_N, place_N] = MASK_ID
        logits_NV = model.logits(model.states(tokens_NW)[row_N, place_N])
        total += float(functional.cross_entropy(logits_NV, target_N, reduction="sum"))
    return math.exp(total / len(slots))
