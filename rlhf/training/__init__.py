"""The numeric core, without Django: paths and plain data in, a directory and metrics out."""
