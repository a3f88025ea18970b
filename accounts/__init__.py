"""People: accounts, roles, API keys, the audit log, and what a person takes along or leaves behind."""
