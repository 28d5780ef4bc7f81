"""nmap: grammars and policy of its command line, its report, and the tool itself."""
