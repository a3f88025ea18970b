"""The numeric core, without Django: takes paths and plain data, writes a directory and metrics."""
