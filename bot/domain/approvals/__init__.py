"""What surrounds an approval: who may give it, when nothing may be, what it names, and the document that states it."""
