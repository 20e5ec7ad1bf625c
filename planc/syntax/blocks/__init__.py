"""Codecs: a file for each kind of block, and what these files share."""
