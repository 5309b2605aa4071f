"""sealkeep's conformance kit: what shows that a relay or a client, in whatever language, keeps the specification.

It knows the protocol package and nothing of this project's relay and client. So far it holds the hostile relay
(`sealkeep_conformance.relay`): a real server to put a client to, whose every answer can be made a lie.
"""
