"""Files that training reads and writes: policy directories, their manifests, checkpoints and GGUF files."""
