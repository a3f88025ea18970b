"""What every app stands on: commands, health, error pages, the shared cache, and the promises that fsck checks."""
