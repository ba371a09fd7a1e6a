"""The operator's and account holder's side: accounts, keys, the control socket, pages."""
