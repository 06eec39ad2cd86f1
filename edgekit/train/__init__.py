"""Training, in a process of its own: jobs, schedule, augmentation, loop, run folders."""
