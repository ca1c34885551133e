"""Phrase grounding and image-text matching, learned from captions alone."""
