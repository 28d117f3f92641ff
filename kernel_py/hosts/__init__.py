"""The only code that touches a clock, a file, a socket, a browser or asyncio."""
