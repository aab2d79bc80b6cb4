"""Simulators of the peers of this server, shipped with it: a modality, HL7 receivers and senders, and free ports.

They use the pure rooms and the wires, and nothing of the running server.
"""
