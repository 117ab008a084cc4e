"""Importers of order books that lie in files as whole books or as tall rows, one module a format."""
