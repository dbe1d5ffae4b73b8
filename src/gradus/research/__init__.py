"""Part III: methods of research, one folder a chapter."""
