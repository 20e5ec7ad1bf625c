"""Graph files: captured models, written small and read with distrust."""
