"""Training by a server that speaks the Tinker protocol: it samples and learns, the reward is computed here."""
