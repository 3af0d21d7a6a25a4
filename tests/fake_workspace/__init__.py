"""A Databricks workspace on this machine, for tests: real HTTP, strict as the real one, one module for each API.

It knows nothing of mlops_tasks. By hand: `python -m tests.fake_workspace`.
"""
