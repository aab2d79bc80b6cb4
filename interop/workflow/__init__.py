"""What may happen: the life of orders, patients, reports and studies, as functions of one transaction; no I/O of its own."""
