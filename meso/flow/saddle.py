"""The moment system in 3D."""


class IterativeSystem:
    """Placeholder."""
