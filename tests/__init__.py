"""The tests; a package so that one folder can import another's reference."""
