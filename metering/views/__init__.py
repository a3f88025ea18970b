"""Pages of usage, prices and budgets."""
