"""Current flow: one module per model, one result type."""
