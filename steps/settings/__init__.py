"""What the user wrote, checked and complete: schemas, checks, one settings file per stage."""
