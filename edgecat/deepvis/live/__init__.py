"""A live look into a network: one state, and its two faces, a window and a panel of the page."""
