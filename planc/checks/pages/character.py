"""A character outside the language, or a quoted text without its closing quote.

Plans are UTF-8. Outside comments and quoted texts they are ASCII, as module names are. A
quoted text ends on the line where it begins.

Wrong:

    model "hf:LlamaForCausalLM

Right:

    model "hf:LlamaForCausalLM"
"""
