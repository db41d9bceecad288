"""What a person types and sees: subcommands, flags, exit codes and result tables.

Start reading at `cli.py`.
"""
