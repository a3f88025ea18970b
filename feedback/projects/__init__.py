"""Projects: prompts that people bring to be judged, by whom, how often, and how far that is."""
