"""Changes of the plan that mend a violation; planc shows one only after it has tried it."""
