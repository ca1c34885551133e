"""Captions that are almost right: a noun replaced by another that fits the sentence, but not the image."""
