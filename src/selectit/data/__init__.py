"""Reading data sets into records, and writing the chosen ones back as they were."""
