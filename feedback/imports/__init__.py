"""Judgements that were made elsewhere: files of other tools, read, checked and stored as rows of this site."""
