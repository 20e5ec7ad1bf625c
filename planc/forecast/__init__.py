"""What a plan will cost, read off its proof."""
