"""The hunt on mutated models: code of models that fools checkers, under plans that are right for the models as they were."""
