"""Diffusion of spin and orbital angular momentum, driven by Hall currents or by injection.

`tensors` what a material is described by; `wellposed` whether the equations have a solution;
`terms` one function per term of the weak form; `system` unknowns, assembly, solution;
`diffusion` the densities; `inverse` the charge current that they make; `decay` decay lengths.
"""
