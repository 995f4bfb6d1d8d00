"""Where rows go: one loader for each kind of target, all of one contract (`contract.Loader`)."""
