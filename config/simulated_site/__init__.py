"""A simulated site: people of different tastes, their rounds of judgements and cycles, and the report."""
