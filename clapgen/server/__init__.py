"""The web page and the HTTP API: `clapgen serve`. Nothing else imports this room, and it needs `clapgen[web]`."""
