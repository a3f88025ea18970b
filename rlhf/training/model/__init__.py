"""The Llama-family model as training needs it: a frozen trunk run once, an adapted top, a sampler."""
