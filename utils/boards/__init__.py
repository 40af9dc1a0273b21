"""Othello and chess: their rules, random games, and the sequence models trained on them."""
