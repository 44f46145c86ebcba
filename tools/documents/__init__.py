"""The generated pages of docs/reference: ``python -m tools.documents`` writes them."""
