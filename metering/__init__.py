"""Metering: usage of models, prices, costs, and budgets that limit spending."""
