"""Parts of the SQL source: the connection, its statements, and the bytes and rows that come back.

What a symbol-day is, and when it is trusted, stands in `sources/sql.py`.
"""
