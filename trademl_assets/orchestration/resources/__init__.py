"""What asset bodies are handed: sources, tracking, computation, tables of upstream partitions. No domain logic."""
