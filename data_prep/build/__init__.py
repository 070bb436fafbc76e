"""One build: processes, conversion, composition, shards, ledger; killed anywhere, it goes on."""
