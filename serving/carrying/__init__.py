"""Lists that cannot have changed since an earlier version, kept instead of made again.

A list follows from what all lists of a kind have in common, the basis, and from the user's own
events and fields. Where all of this is as it was, the rows of the earlier version are copied.
"""
