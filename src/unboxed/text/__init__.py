"""Captions as words, noun phrases, word ids and contextual embeddings.

In a training loop of your own, for C texts:

    vocabulary = Vocabulary.from_captions(texts)
    captions = [Caption(text, noun_phrases(text)) for text in texts]
    encoded = [encode_caption(caption, vocabulary) for caption in captions]  # tokens_W, content_W, phrase_PW of each
    batch = collate_captions(encoded)                                        # padded, see unboxed.data.batches
    encoder = RecurrentEncoder(len(vocabulary))
    words_CWH = encoder(batch.tokens_CW, batch.mask_CW, batch.words_C)       # H = encoder.output_width

`FrozenEncoder` is a pretrained encoder with the same interface.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
