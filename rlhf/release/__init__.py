"""From a candidate to the live policy: the gate, its decision, promotion, trial, rollback."""
