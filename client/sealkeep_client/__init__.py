"""The sealkeep client: an SDK and a command line that seal chat records and keep a person's devices in step."""
