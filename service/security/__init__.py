"""Who may call, what they may do, and at which level: clients, tokens, scopes, and the trail of what they did."""
