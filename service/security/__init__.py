"""Who may call, what they may do, and at which level: clients, tokens and scopes."""
