"""Where models come from: classes of transformers, factories in files, and example inputs."""
