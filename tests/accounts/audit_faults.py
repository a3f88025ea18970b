"""What is wrong with the audit log, as pairs that a test can name."""

from accounts import audit_checks


def faults(result=None):
    """[(kind, number of the entry)]"""
    return [(fault.kind, fault.sequence) for fault in (result or audit_checks.verify()).faults]
