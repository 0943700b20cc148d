"""One process that keeps models loaded; the web process talks to it in lines of JSON."""
