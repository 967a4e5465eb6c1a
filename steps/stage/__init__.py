"""What every stage script needs: command line, errors, seeds, files."""
