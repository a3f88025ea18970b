"""Learning: snapshots, training runs, evaluation, the gate, promotion and rollback."""
