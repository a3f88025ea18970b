"""Pages of accounts: sign-in, the person's own account, API keys, the audit log."""
