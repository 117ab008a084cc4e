"""The only package that knows paths and writes bytes: layout, atomic commits with manifests, tables, mapped arrays.

Knows nothing of what the bytes mean.
"""
