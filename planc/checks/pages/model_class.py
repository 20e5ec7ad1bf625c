"""A model that cannot be found.

`hf:` names a class of transformers, with settings of its configuration behind a `?`, or a
`config.json` on the disk: nothing is fetched from a hub, and no code but that of the
installed transformers is run. Other models are made by a function, named as
`package.module:function` or `file.py:function`.

Wrong:

    planc capture hf:LlamaForCausalLLM

Right:

    planc capture "hf:LlamaForCausalLM?hidden_size=64&intermediate_size=128&num_hidden_layers=2"
"""
