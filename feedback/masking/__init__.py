"""Masks what tells who wrote a text, or whom it is about, before others read it: names, addresses, numbers."""
