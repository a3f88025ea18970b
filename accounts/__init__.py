"""Accounts: sign-in, roles, permissions, API keys, the audit log, and export and erasure of personal data."""
