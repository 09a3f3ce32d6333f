"""From a case to the files of a result, and what is done with these."""
