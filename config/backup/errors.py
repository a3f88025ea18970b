"""Why a backup is not made, not read or not restored."""


class BackupError(Exception):
    """Its text says what happened and what to do."""

    code = "backup"


class WrongPassphrase(BackupError):
    code = "wrong_passphrase"

    def __init__(self) -> None:
        super().__init__("the passphrase does not open this backup, or its beginning was changed")


class BackupDamaged(BackupError):
    code = "backup_damaged"

    def __init__(self, what: str) -> None:
        super().__init__(f"the backup is damaged: {what}; nothing of it was used")
