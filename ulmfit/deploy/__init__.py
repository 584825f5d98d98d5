"""A trained classifier in use: served over HTTP, exported to predict without PyTorch, shared on the Hugging Face Hub."""
