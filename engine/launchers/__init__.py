"""Where the parts of a run are done: in processes of this machine, or on a Spark cluster."""
