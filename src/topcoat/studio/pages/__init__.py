"""The pages: a function for each, from the site and what is asked to what is shown."""
