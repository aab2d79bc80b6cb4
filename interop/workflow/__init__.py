"""What may happen to orders, patients, reports and studies, as functions of one transaction; no I/O of its own."""
