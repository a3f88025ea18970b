"""The conditions of the gate, by what they are about. Pure: each file yields reasons from reports and thresholds."""
