"""What every app builds on: commands, health checks, error pages, the shared cache, and the registry of fsck."""
