"""A trained classifier where people need it: exported, and predicting without PyTorch."""
