"""The trust between the two accounts: tried step by step, and explained where it fails."""
