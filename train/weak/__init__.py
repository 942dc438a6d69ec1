"""The parts of train.weak_table: its rows, the commands that run them, and the tables of what came out."""
