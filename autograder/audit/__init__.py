"""How good a chapter's tests are."""
