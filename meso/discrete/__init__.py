"""From weak forms to numbers: compiled forms, element tensors."""
