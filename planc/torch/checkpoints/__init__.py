"""Checkpoints of models and optimizers on any mesh: written atomically, and read in slices.

They have Lightning's two formats, so Lightning and torch read them without planc, and planc reads theirs.

- distributed: a folder of `torch.distributed.checkpoint` with a tree for each key (`state_dict`,
  `optimizer_0`, ...) and `meta.pt`, a file of `torch.save` with everything else;
- full: one file of `torch.save` with full tensors.

`state_dicts` makes the states, `save_checkpoint` and `saver` write them, `load_checkpoint` reads them.
"""
