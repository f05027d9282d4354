"""The parts of the camera loop: answers, decisions, reloading."""
