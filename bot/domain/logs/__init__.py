"""What log lines tell: fields, times, records, requests, ends."""
