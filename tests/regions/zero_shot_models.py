"""Tiny zero-shot models of transformers with random weights, saved to a folder with their processor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

WORDS = ("a", "photo", "of", "dog", "cat", "hat", "red", "frisbee", "man", "ball")
_TEXT = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
_VISION = {**_TEXT, "image_size": 32, "patch_size": 8}


def word_tokenizer(library: Any, unknown: str, *, start: str, end: str) -> Any:
    """A tokenizer of whole words, `[start] words [end]`."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    if not hasattr(library, "OwlViTImageProcessorPil"):
        pytest.skip("processors of transformers before version 5 take no tokenizers of other kinds")
    names = [unknown, start, end, ".", *WORDS]
    tokenizer = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token=unknown))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}", special_tokens=[(start, 1), (end, 2)]
    )
    return library.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token=unknown,
        pad_token=unknown,
        bos_token=start,
        eos_token=end,
        cls_token=start,
        sep_token=end,
    )


def image_processor(library: Any, model: str, **options: Any) -> Any:
    """The processor of a model that works on Pillow's images, as old and new transformers call it."""
    name = f"{model}ImageProcessor"
    return getattr(library, f"{name}Pil" if hasattr(library, f"{name}Pil") else name)(**options)


def save_owl(library: Any, folder: Path, version: str) -> Path:
    """OWL-ViT or OWLv2 with 16 patches."""
    import torch

    torch.manual_seed(0)
    text = {**_TEXT, "vocab_size": 16, "max_position_embeddings": 8, "bos_token_id": 1, "eos_token_id": 2}
    config = getattr(library, f"{version}Config")(
        text_config={**text, "pad_token_id": 0}, vision_config=_VISION, projection_dim=8
    )
    getattr(library, f"{version}ForObjectDetection")(config).eval().save_pretrained(folder)
    images = image_processor(library, version, size={"height": 32, "width": 32})
    tokenizer = word_tokenizer(library, "<unk>", start="<start>", end="<end>")
    getattr(library, f"{version}Processor")(image_processor=images, tokenizer=tokenizer).save_pretrained(folder)
    return folder


def save_grounding_dino(library: Any, folder: Path, max_text_len: int = 16) -> Path:
    """Grounding DINO with 6 boxes."""
    import torch

    torch.manual_seed(0)
    backbone = library.SwinConfig(
        image_size=32, patch_size=4, embed_dim=8, depths=[1, 1, 1], num_heads=[1, 1, 1], window_size=2,
        out_features=["stage2", "stage3"],
    )  # fmt: skip
    text = library.BertConfig(**_TEXT, vocab_size=16, max_position_embeddings=64)
    config = library.GroundingDinoConfig(
        backbone_config=backbone, text_config=text, max_text_len=max_text_len, num_queries=6, d_model=32,
        encoder_layers=1, encoder_ffn_dim=8, encoder_attention_heads=2, decoder_layers=2, decoder_ffn_dim=8,
        decoder_attention_heads=2, num_feature_levels=2, encoder_n_points=1, decoder_n_points=1,
    )  # fmt: skip
    library.GroundingDinoForObjectDetection(config).eval().save_pretrained(folder)
    images = image_processor(library, "GroundingDino", size={"height": 32, "width": 48}, do_pad=False)
    tokenizer = word_tokenizer(library, "[UNK]", start="[CLS]", end="[SEP]")
    library.GroundingDinoProcessor(image_processor=images, tokenizer=tokenizer).save_pretrained(folder)
    return folder


def save_image_text(library: Any, folder: Path, kind: str) -> Path:
    """CLIP or SigLIP (`kind`) with an embedding of 8 numbers."""
    import torch

    torch.manual_seed(0)
    text = {**_TEXT, "vocab_size": 16, "max_position_embeddings": 8, "bos_token_id": 1, "eos_token_id": 2}
    config = getattr(library, f"{kind}Config")(text_config={**text, "pad_token_id": 0}, vision_config=_VISION)
    getattr(library, f"{kind}Model")(config).eval().save_pretrained(folder)
    size = {"size": {"height": 32, "width": 32}} | ({"do_center_crop": False} if kind == "CLIP" else {})
    images = image_processor(library, kind, **size)
    tokenizer = word_tokenizer(library, "<unk>", start="<start>", end="<end>")
    getattr(library, f"{kind}Processor")(image_processor=images, tokenizer=tokenizer).save_pretrained(folder)
    return folder
