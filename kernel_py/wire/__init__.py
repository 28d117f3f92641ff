"""What kernel and vats must agree on: references, capdata, deliveries, syscalls, errors and limits."""
