"""Training files: upload, formats, checks, preparation, token counts."""
