"""From many log lines to few: layouts, masks, templates, comparison, and what is worth reading. Text in, values out."""
