"""What a plan costs, as its proof says it: collectives and memory."""
