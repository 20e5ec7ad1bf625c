"""A graph file that holds no graph.

A graph is read with distrust: a file that ends too early, was changed by hand, comes from
another version of planc, or says what no model can be, is refused before anything is made
of it. Graphs are cheap: capture the model again.

Wrong:

    planc capture model.graph.json -o copy.graph.json.gz

Right:

    planc capture model.py:build -o model.graph.json.gz

File model.graph.json:

    {"planc_graph": 2, "model": "hf:LlamaForCausalLM", "modules": [

File model.py:

    import torch

    def build():
        return torch.nn.Linear(4, 4), torch.empty(2, 4)
"""
