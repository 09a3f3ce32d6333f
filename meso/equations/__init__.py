"""The equations as weak forms in UFL, one function per term.

Nothing here knows a mesh, a solver or a case file. Forms are made of what the caller hands in: test
and trial functions, coefficients, the outward normal; any consistent units will do. A term is an
integrand: the caller multiplies it by the measure of the region or boundary where it holds.
"""
