"""The fine_tune stage: a person's own rows to a published policy, by more or less of the weights."""
