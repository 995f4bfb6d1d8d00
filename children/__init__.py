"""Processes without a key: whatever meets strangers' servers and strangers' texts happens there.

A zygote is started with a bare environment, loads the modules that it is told, and forks a child
whenever the host asks for one. A child runs functions of these modules, one at a time, for one
host that holds a deadline over it: what does not answer in time is killed.
"""
