"""Train image-text matching in a plain PyTorch loop: a region store, two encoders, an attention and an objective.

    python examples/train_without_fit.py                  # draws a small dataset first
    python examples/train_without_fit.py --data DATA.toml

Axis letters end the name of a tensor: B images, C captions, W words, R regions. `unboxed.types` lists all of them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import tyro

from unboxed.attention import Alignment, KeyValueAttention, Standardize
from unboxed.data import collate_captions, collate_images, epoch_batches, load_dataset, region_inputs
from unboxed.evaluation import score_retrieval
from unboxed.objectives import word_image_infonce
from unboxed.regions import RegionSettings, RegionStore, extract
from unboxed.scenes import write_scenes
from unboxed.text import RecurrentEncoder, Vocabulary, encode_caption
from unboxed.types import CaptionBatch, ImageBatch


class Matcher(torch.nn.Module):
    """A GRU reads the captions, and their nouns and adjectives attend to the regions of images."""

    def __init__(self, region_width: int, vocabulary_size: int) -> None:
        super().__init__()
        self.standardize = Standardize(region_width)
        self.text = RecurrentEncoder(vocabulary_size, dropout=0.1)
        self.attention = KeyValueAttention(region_width, self.text.output_width, joint_width=128)

    def forward(self, images: ImageBatch, captions: CaptionBatch) -> Alignment:
        """Align every caption with every image."""
        inputs_BRV = self.standardize(images.inputs_BRV, images.mask_BR)
        regions = self.attention.embed_regions(inputs_BRV, images.edges_BR4, images.mask_BR)
        words = self.attention.embed_queries(self.text(captions.tokens_CW, captions.mask_CW), captions.content_CW)
        return self.attention.align(regions, words)


def main(data: Path | None = None, folder: Path = Path("example"), images: int = 200, epochs: int = 8) -> None:
    """Train on the split `train` of a dataset and rank the images of `val` for their captions.

    Args:
        data: a dataset file; without it, a dataset is drawn.
        folder: keeps the drawn dataset and the regions.
        images: training images to draw.
        epochs: passes over all captions.
    """
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    dataset = load_dataset(data or write_scenes(folder / f"scenes-{images}", train=images, val=20, test=20))
    train, val = dataset.split("train").examples, dataset.split("val").examples

    # Regions are found once and kept in the store: boxes, features and class probabilities of every image.
    extract([*train, *val], RegionSettings.default_for(dataset)[0], folder / "regions")
    store = RegionStore.open(folder / "regions")
    inputs = [region_inputs(store[example.image_id]) for example in (*train, *val)]
    vocabulary = Vocabulary.from_captions(caption.text for example in train for caption in example.captions)
    captions = [[encode_caption(caption, vocabulary) for caption in example.captions] for example in (*train, *val)]

    model = Matcher(inputs[0].shape[1], len(vocabulary))
    model.standardize.measure(inputs[: len(train)])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for epoch in range(epochs):
        losses = []
        for batch in epoch_batches([len(texts) for texts in captions[: len(train)]], 32, 5, rng):
            image_batch = collate_images([inputs[image] for image, _ in batch])  # distinct images
            caption_batch = collate_captions(
                [captions[image][number] for image, numbers in batch for number in numbers]
            )
            image_of_C = torch.tensor([row for row, (_, numbers) in enumerate(batch) for _ in numbers])
            alignment = model(image_batch, caption_batch)
            loss = word_image_infonce(alignment.matched_BCQ, caption_batch.content_CW, image_of_C)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.3f}")

    held_out = captions[len(train) :]
    image_of_C = torch.tensor([row for row, texts in enumerate(held_out) for _ in texts])
    with torch.inference_mode():
        batches = collate_images(inputs[len(train) :]), collate_captions([text for texts in held_out for text in texts])
        score_BC = model.eval()(*batches).score_BC
    print(score_retrieval(score_BC.numpy(), image_of_C.numpy()))


if __name__ == "__main__":
    tyro.cli(main)
