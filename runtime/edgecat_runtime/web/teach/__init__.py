"""The panel of `edgecat teach` on the camera's page."""
