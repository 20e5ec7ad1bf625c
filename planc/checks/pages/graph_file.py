"""A graph file without a valid graph.

planc does not trust graph files: it refuses a file that is truncated, edited by hand, written
by another version of planc, or impossible as a model, before it builds anything from it. A
graph is cheap to make: capture the model again.

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
