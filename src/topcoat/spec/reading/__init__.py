"""Reading what a user wrote: every mistake at once, each with its file and line."""
