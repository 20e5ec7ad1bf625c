"""Checkpoints of models and optimizers on any mesh: written whole or not at all, read in slices.

They have Lightning's two forms, so Lightning and torch read them without planc, and planc reads theirs.

- distributed: a folder of `torch.distributed.checkpoint` with a tree for each key (`state_dict`,
  `optimizer_0`, ...) and `meta.pt`, a file of `torch.save` with all else;
- full: one file of `torch.save` with whole tensors.

`state` takes the states, `write` and `saver` put them somewhere, `read` brings them back.
"""
