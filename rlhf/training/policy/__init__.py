"""The policy stage: trains a policy in one of several ways, one file each, and publishes its directory."""
