"""The one place that holds this package's version: reading it from the installed metadata would cost 30 ms."""

VERSION = "0.1.0"
