"""The commands of `planc`, a module each: `add_arguments(parser)` and `run(arguments)`."""
