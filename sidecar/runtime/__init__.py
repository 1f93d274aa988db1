"""What the process shares: clock, threads, sockets, console."""
