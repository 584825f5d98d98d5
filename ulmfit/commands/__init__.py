"""The verbs of the command line: a frozen dataclass each; its fields are the flags, its docstring is the help."""
