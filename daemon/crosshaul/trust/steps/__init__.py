"""The steps of a check, one module per part of the chain from Account A's credentials to Account B's bucket."""
