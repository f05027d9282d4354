"""What the camera loop consists of: answers, decisions, reloading."""
