"""The life of a fine-tuning job: plan, estimate, run, events, bill, result."""
