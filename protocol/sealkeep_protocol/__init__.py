"""The pure core of sealkeep: codec, cryptography, roster, feeds and records, without sockets, files or clocks."""
