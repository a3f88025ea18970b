"""Pages about the site, and the programs that write some of them from the code."""
