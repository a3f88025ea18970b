"""The life of a run: leases, stages, and the supervisor of the child process that trains."""
