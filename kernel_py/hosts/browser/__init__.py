"""Pyodide side: the service worker and the vat realms."""
