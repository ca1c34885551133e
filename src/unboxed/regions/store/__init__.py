"""The region store: `region_store` is the folder, `shards` are its files."""
