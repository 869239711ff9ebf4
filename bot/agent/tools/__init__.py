"""What the model may do: read, run the service's own checks in the sandbox, and propose a patch. Nothing else exists.

Nothing here approves, pages or pushes; people hear of it by a question (`ask_user`) alone. One module per family of
tools, each exporting its tools as values.
"""
