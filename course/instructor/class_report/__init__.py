"""The class report: one page on what a class did, and where it needs help."""
