"""Pictures to learn from: folders and tar files of photographs, and drawn pets."""
