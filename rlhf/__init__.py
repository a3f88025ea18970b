"""Learning: snapshots, training runs, evaluation, gate, promotion and rollback."""
