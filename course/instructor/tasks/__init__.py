"""One module an exercise, named as its notebook: its tasks, with cases and known mistakes."""
