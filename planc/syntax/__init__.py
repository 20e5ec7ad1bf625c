"""Text and data to a plan, and back: grammar, parser, recovery, codecs of blocks, formatter, data forms."""
