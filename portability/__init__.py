"""The configuration as one YAML file, made for git: written, compared with the store, applied.

Records are keyed by their names and refer to each other by name. Secrets stand in it as
`${VARIABLE}`, and are taken from the environment when the file is applied.
"""
