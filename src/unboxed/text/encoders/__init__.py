"""Text encoders: from word ids to contextual words. `unboxed.text` exports them."""
