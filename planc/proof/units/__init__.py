"""The units of FSDP: which parameters are gathered when the model's code uses them, forward and backward."""
