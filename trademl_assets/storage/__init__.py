"""The only package that knows paths and writes bytes: layout, atomic commits with manifests, Parquet tables, memory-mapped Arrow arrays. Knows nothing of what the bytes mean."""
