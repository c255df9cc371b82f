"""All that a student's notebook may import; nothing here knows a solution."""
