"""What several tests share: stand-ins, made-up inputs, and ways to run topcoat. One subject a module; no tests."""
