"""A model that planc cannot find.

`hf:` names a class of transformers, with settings of its configuration after a `?`, or a
`config.json` on disk. planc downloads nothing from a hub, and runs no code but that of the
installed transformers. For other models name a function that builds the model, as
`package.module:function` or `file.py:function`.

Wrong:

    planc capture hf:LlamaForCausalLLM

Right:

    planc capture "hf:LlamaForCausalLM?hidden_size=64&intermediate_size=128&num_hidden_layers=2"
"""
