"""Time, threads, limits and budgets."""
