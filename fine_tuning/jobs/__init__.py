"""Fine-tuning jobs: estimate, plan, life cycle, events, bill, result."""
