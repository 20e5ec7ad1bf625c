"""What needs torch: capturing models. No other part of planc imports it, or this."""
