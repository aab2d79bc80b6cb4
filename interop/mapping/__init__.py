"""One tongue into another: tables of ``mappings/``, compiled; what cannot be mapped is an Issue beside the result."""
