"""What is known of phrases and regions before any training."""
