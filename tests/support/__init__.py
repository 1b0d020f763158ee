"""What the tests share: worlds, fixtures, partners, and tables that documents are made from."""
