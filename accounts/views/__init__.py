"""Pages of accounts: sign-in, one's own account, API keys."""
