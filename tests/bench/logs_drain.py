"""The peer: drain3 with its defaults groups the lines of a file. Prints its seconds and each line's group as JSON."""

import json
import sys
import time
from pathlib import Path

from drain3 import TemplateMiner

lines = Path(sys.argv[1]).read_text(encoding="utf-8", errors="backslashreplace").split("\n")[: int(sys.argv[2])]
miner = TemplateMiner()
wall, cpu = time.perf_counter(), time.process_time()
groups = [miner.add_log_message(line)["cluster_id"] for line in lines]
spent = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
print(json.dumps({**spent, "lines": groups}))
