"""The lecture on language models, walked on one text: from counting words to the policy that people chat with."""
