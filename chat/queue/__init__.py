"""The queue for engines, in which replies and tickets wait: order, leases, limits, usage."""
