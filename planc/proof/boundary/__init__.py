"""The boundary of a module: its ports, and the collectives that a change of layout there needs."""
