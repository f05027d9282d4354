"""Making a data set: fetched, gathered, checked, divided and packed."""
