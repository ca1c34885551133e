"""Captions that are almost right: a noun is replaced by another that fits the sentence, but not the image.

A source (`RandomWords`, `LanguageModelWords`) finds substitutes for the nouns of all training captions once; each epoch
samples some of them. In a training loop of your own:

    nouns = CaptionNouns.from_texts(["A man plays a guitar.", "A woman plays a drum."], [[1, 4], [1, 4]], ["a", "b"])
    negatives = RandomWords(count=25).find(nouns)                            # candidates [S, 25] for S = 4 nouns
    sample = negatives.sample(0, np.random.default_rng((seed, epoch, 0)), count=10)
    sample.position, sample.words                                            # 4, ("drum", "woman")

`make_negatives` does this for captions and keeps the result in a file.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
