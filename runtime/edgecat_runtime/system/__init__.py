"""The machine beneath: files, clocks, the screen, OpenCV and standard error."""
