"""Live network visualisation: one state with two interfaces, a window and a web panel."""
