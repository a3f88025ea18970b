"""Release of a candidate: the gate, its decision, promotion, trial, rollback."""
