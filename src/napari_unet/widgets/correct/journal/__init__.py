"""The journal of corrections: kept while one works, offered after a crash."""
