"""Log-probabilities of the tokens of a reply or of a given text, computed in a child process."""
