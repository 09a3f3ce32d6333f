"""What is read off a flow: along walls, near corners, at points."""
