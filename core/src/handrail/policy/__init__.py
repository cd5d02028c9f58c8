"""The policy: when a conversation goes to people, why, how urgent, to whom, and with which timing.

``model`` holds its words, ``load`` reads it from a file, ``policy`` decides.
"""
