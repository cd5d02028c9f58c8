"""Sample conversations for the demo and for a first try: native, OpenAI and Anthropic form, one a line."""
