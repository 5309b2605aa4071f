"""The sealkeep relay: stores what it cannot read and refuses what it can see to be wrong."""
