"""The static files as the site serves them, listed once a process: each client of each test would list them anew."""

from servestatic.middleware import ServeStaticMiddleware


class ListedOnce(ServeStaticMiddleware):
    listed: dict = {}

    def add_files_from_finders(self):
        if not self.listed:
            super().add_files_from_finders()
            self.listed.update(self.files)
        self.files.update(self.listed)
