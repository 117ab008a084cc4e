"""Network families as registry entries: parameters in, torch module out. No training loop, no files."""
