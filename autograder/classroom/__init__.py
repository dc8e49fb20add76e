"""Many submissions: gradebook, records and reports."""
