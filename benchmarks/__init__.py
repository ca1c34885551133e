"""What this library's speed is measured with: `unboxed bench` runs what lies here. Not installed."""
