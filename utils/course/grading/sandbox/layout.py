"""What lies inside a sandbox of level `full`, as those who build its outer wall and those within agree."""

# Where `utils` lies.
COURSE = "/course"
# The only folder that can be written to. Not /tmp, below which Python itself may lie.
SCRATCH = "/scratch"
TEMPORARY_BYTES = 64 << 20
DEVICES = ("null", "zero", "full", "random", "urandom")
