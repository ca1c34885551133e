"""Embed images and captions, compare every one with every other, and rank.

    python examples/embeddings.py                         # trains a small run first, for a minute or two
    python examples/embeddings.py --run RUN --data DATA.toml

Axis letters end the name of a tensor: B images, C captions, Q queries (words or phrases), R regions, D joint width.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tyro

import unboxed
from unboxed.data import load_dataset
from unboxed.evaluation import score_retrieval
from unboxed.recipes import CKD, DistillationConfig, Schedule
from unboxed.scenes import write_scenes
from unboxed.training import FitSettings, fit


def small_run(data: Path, run: Path) -> unboxed.Grounder:
    """Train CKD with the semantic prior on a small dataset; a run that has finished is only loaded."""
    options = CKD(
        prior="semantic",
        distillation=DistillationConfig(distillation=0.5),
        intra_caption=0.3,
        schedule=Schedule(epochs=10, images_per_batch=12),
    )
    return fit("ckd", options, FitSettings(data, run, resume=True), show=print)


def main(run: Path | None = None, data: Path | None = None, folder: Path = Path("example"), images: int = 200) -> None:
    """Embed the images of a split and their captions.

    Args:
        run: the folder of a run; without it, a small run is trained on drawn images.
        data: a dataset file, whose split `val` is read; without it, the drawn images.
        folder: keeps the drawn dataset and the small run.
        images: training images of the small run.
    """
    if data is None:
        data = write_scenes(folder / f"scenes-{images}", train=images, val=20, test=20)
    grounder = small_run(data, folder / f"run-{images}") if run is None else unboxed.load(run)
    examples = load_dataset(data).split("val").examples[:20]
    captions = [caption for example in examples for caption in example.captions]
    image_of_C = np.array([row for row, example in enumerate(examples) for _ in example.captions])

    # Each image and each caption is encoded once, whatever it is compared with.
    image_embeddings = grounder.encode_images([example.path for example in examples])
    caption_embeddings = grounder.encode_captions(captions)
    print(f"queries of a caption are its {caption_embeddings.units}")
    for number, tensor in enumerate(image_embeddings.regions.tensors):
        print(f"region embeddings {number}  [B, R, D]     {list(tensor.shape)}")
    print(f"real regions         [B, R]        {list(image_embeddings.regions.mask_BR.shape)}")
    for number, tensor in enumerate(caption_embeddings.queries.tensors):
        print(f"query embeddings {number}   [C, Q, D]     {list(tensor.shape)}")
    print(f"real queries         [C, Q]        {list(caption_embeddings.queries.mask_CQ.shape)}")

    # Every query of every caption with every region of every image.
    alignment = grounder.align(image_embeddings, caption_embeddings)
    print(f"similarity           [B, C, Q, R]  {list(alignment.similarity_BCQR.shape)}")
    print(f"attention            [B, C, Q, R]  {list(alignment.attention_BCQR.shape)}")
    print(f"score of each pair   [B, C]        {list(alignment.score_BC.shape)}")

    # Retrieval needs the scores only; they are computed in blocks, without the attention of all pairs.
    score_BC = grounder.score_embeddings(image_embeddings, caption_embeddings)
    print(score_retrieval(score_BC.numpy(), image_of_C))

    # One caption with its image: where does each phrase attend?
    regions = grounder.regions_of(examples[0].path)
    print(f"{examples[0].path.name}: {captions[0].text}")
    for phrase, attention_R in zip(captions[0].phrases, alignment.attention_BCQR[0, 0].numpy(), strict=False):
        best = int(attention_R.argmax())
        box = regions.boxes[best].round().tolist()
        print(f"  {phrase.text}: {attention_R[best]:.2f} on the region {box} ({regions.names[best] or 'no class'})")


if __name__ == "__main__":
    tyro.cli(main)
