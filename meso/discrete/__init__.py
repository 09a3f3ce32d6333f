"""From weak forms to numbers: spaces, compiled forms, numbering, condensation, solvers."""
