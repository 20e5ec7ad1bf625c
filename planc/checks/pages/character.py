"""A character that is no part of the language, or a text that is not closed.

Plans are UTF-8; outside comments and quoted texts they are ASCII, since module
names are. A quoted text ends on the line where it begins.

Wrong:

    model "hf:LlamaForCausalLM

Right:

    model "hf:LlamaForCausalLM"
"""
