"""Kills, signals, full disks and odd folders: whole runs that meet an accident."""
