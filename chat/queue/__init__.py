"""What waits for an engine, replies and tickets alike: order, leases, limits, and their ends."""
