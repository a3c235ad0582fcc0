"""What the command line shows of a first sync: the plan, its page, the run, the end report."""
