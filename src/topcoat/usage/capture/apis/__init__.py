"""The APIs that clients ask with: translated to chat completions and back, and read for the recorder."""
