"""The one adapter to MadMiner: its classes, mended, behind types of our own."""
