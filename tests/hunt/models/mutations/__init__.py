"""The mutations, in files by what they are about."""
