"""DICOM as bytes and values: worklist items, what a study says of itself, stations, names, times and UIDs. No I/O."""
