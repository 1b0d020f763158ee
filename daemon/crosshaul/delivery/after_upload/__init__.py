"""Delete, move or keep the source of a delivered file."""
