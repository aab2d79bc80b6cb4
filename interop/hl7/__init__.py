"""HL7 v2 as pure values: MLLP framing, messages, acknowledgements, writing; bytes in, values out, and back."""
