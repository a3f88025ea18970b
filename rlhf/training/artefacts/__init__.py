"""What training reads from and leaves on the disk: policy directories, their manifests and GGUF files."""
