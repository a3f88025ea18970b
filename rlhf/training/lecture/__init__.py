"""The models of the lecture on one text: counting, word vectors, recurrent networks, Transformers, their measures."""
